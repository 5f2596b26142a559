"""Find the databases that the suite runs on, and say which are not here."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import embedded_postgres

MARIADB_SOCKETS = ("/run/mysqld/mysqld.sock", "/var/run/mysqld/mysqld.sock", "/tmp/mysql.sock")


class Absent(RuntimeError):
    """A server is not here; the message says how to bring it."""


@contextmanager
def sqlite() -> Iterator[str]:
    """Give the URL of a SQLite file if one is named; tests.settings makes a scratch file otherwise."""
    yield _named("sqlite") or ""


@contextmanager
def postgresql() -> Iterator[str]:
    """Give the server that DATABASE_URL names, else start the one that comes as a wheel."""
    if url := _named("postgres"):
        yield url
        return
    try:
        server = embedded_postgres.Server()
    except embedded_postgres.Absent as missing:
        raise Absent(f"{missing} Or name a server by DATABASE_URL.") from missing
    with server:
        yield server.url()


@contextmanager
def mariadb() -> Iterator[str]:
    """Give the server that MARIADB_URL or DATABASE_URL names, else one on this machine that lets root in."""
    if url := os.environ.get("MARIADB_URL") or _named("mysql") or _named("mariadb"):
        yield url
        return
    url = next((found for found in _local_mariadb() if _answers(found)), None)
    if url is None:
        raise Absent(
            "No MariaDB answers on this machine. Start one, or name it: MARIADB_URL=mysql://user:word@host/name"
        )
    yield url


def redis_answers() -> bool:
    """Tell whether a Redis listens where one usually does."""
    return _listens("127.0.0.1", 6379)


def _named(scheme: str) -> str | None:
    """Return DATABASE_URL if it names that kind of database."""
    url = os.environ.get("DATABASE_URL", "")
    return url if url.startswith(scheme) else None


def _local_mariadb() -> Iterator[str]:
    for path in MARIADB_SOCKETS:
        if Path(path).exists():
            yield f"mysql://root@/durable?host={path}"
    if _listens("127.0.0.1", 3306):
        yield "mysql://root@127.0.0.1:3306/durable"


def _answers(url: str) -> bool:
    """Log in once: a server that asks for a password is not ours to use."""
    from example_project import databases

    databases.speak_mysql()
    import MySQLdb

    entry = databases.from_url(url)
    host = entry["HOST"]
    place = {"unix_socket": host} if host.startswith("/") else {"host": host, "port": int(entry["PORT"])}
    try:
        MySQLdb.connect(user=entry["USER"], **place).close()
    except MySQLdb.MySQLError:
        return False
    return True


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0
