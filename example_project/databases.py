"""Turn a database URL into a DATABASES entry, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

ENGINES = {
    "sqlite": "django.db.backends.sqlite3",
    "postgresql": "django.db.backends.postgresql",
    "postgres": "django.db.backends.postgresql",
    "mysql": "django.db.backends.mysql",
    "mariadb": "django.db.backends.mysql",
}
SCHEMES = {ENGINES[scheme]: scheme for scheme in ("sqlite", "postgresql", "mysql")}

SQLITE_OPTIONS = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
}
# READ COMMITTED is what Django asks of MySQL by default, and what the claims are written for.
MYSQL_OPTIONS = {"charset": "utf8mb4", "isolation_level": "read committed"}


def from_url(url: str) -> dict[str, Any]:
    """Make a DATABASES entry of `sqlite:///file`, `postgresql://user:word@host:port/name` or `mysql://...`.

    What follows `?` goes to OPTIONS, but for `host`, which may name a socket's folder.
    """
    parts = urlsplit(url)
    if parts.scheme not in ENGINES:
        raise ValueError(f"Unknown database scheme {parts.scheme!r} in DATABASE_URL: use one of {', '.join(ENGINES)}.")
    options: dict[str, Any] = {key: int(value) if value.isdigit() else value for key, value in parse_qsl(parts.query)}
    if parts.scheme == "sqlite":
        return _sqlite(parts.netloc + parts.path, options)
    if ENGINES[parts.scheme] == ENGINES["mysql"]:
        speak_mysql()
        options = {**MYSQL_OPTIONS, **options}
    return {
        "ENGINE": ENGINES[parts.scheme],
        "HOST": options.pop("host", "") or parts.hostname or "",
        "NAME": unquote(parts.path.lstrip("/")),
        "OPTIONS": options,
        "PASSWORD": unquote(parts.password or ""),
        "PORT": str(parts.port or ""),
        "USER": unquote(parts.username or ""),
    }


def to_url(entry: dict[str, Any]) -> str:
    """Write a DATABASES entry as the URL that another process reads it from."""
    scheme = SCHEMES[entry["ENGINE"]]
    if scheme == "sqlite":
        return f"sqlite:///{Path(entry['NAME']).resolve()}"
    host, user, word = str(entry.get("HOST", "")), quote(entry.get("USER", ""), safe=""), entry.get("PASSWORD", "")
    options = {key: value for key, value in entry.get("OPTIONS", {}).items() if isinstance(value, (str, int))}
    if host.startswith("/"):
        options["host"], host = host, ""
    login = f"{user}:{quote(word, safe='')}@" if word else f"{user}@" if user else ""
    port = f":{entry['PORT']}" if entry.get("PORT") else ""
    query = f"?{urlencode(options)}" if options else ""
    return f"{scheme}://{login}{host}{port}/{quote(str(entry['NAME']))}{query}"


def speak_mysql() -> None:
    """Let PyMySQL stand in for mysqlclient, which needs a compiler; do nothing where mysqlclient is installed."""
    try:
        import MySQLdb  # noqa: F401  (the driver Django asks for)
    except ImportError:
        import pymysql

        # Django refuses drivers older than the mysqlclient it was written for, by this number.
        pymysql.version_info = max(pymysql.version_info, (2, 2, 7, "final", 0))
        pymysql.install_as_MySQLdb()


def _sqlite(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Make the entry of a SQLite file: `/name` is relative, `//name` absolute."""
    name = unquote(path.removeprefix("/"))
    return {"ENGINE": ENGINES["sqlite"], "NAME": name or ":memory:", "OPTIONS": {**SQLITE_OPTIONS, **options}}
