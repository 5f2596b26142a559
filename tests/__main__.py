"""Run the whole suite as a newcomer does: `python -m tests`.

SQLite first, then a real PostgreSQL, then MariaDB's rooms where a server is found. What is left out is said aloud.
Everything else on the command line goes to pytest.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests import servers
from tests.browser import chromium

ROOT = Path(__file__).resolve().parent.parent
DATABASES: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "sqlite": servers.sqlite,
    "postgresql": servers.postgresql,
    "mariadb": servers.mariadb,
}
# The rooms that speak SQL; the others are the same wherever the rows lie. The faults join when MariaDB is asked for by name.
MARIADB_ROOMS = ("tests/store", "tests/concurrency")
MARIADB_FAULTS = "tests/faults"
# The rooms that ask no database: they are run beside SQLite.
ROOMS_WITHOUT_SQL = ("tests/engine", "tests/ground", "tests/mutants", "tests/typed")
NO_TESTS_COLLECTED = 5


def main(arguments: list[str] | None = None) -> int:
    """Run pytest once per database. Return 0 only when each run is green."""
    options, extra = _parse(arguments)
    wanted = options.db or ["sqlite", "postgresql", "mariadb"]
    left_out, failed = _left_out(), []
    if not options.db:
        left_out.append(f"on MariaDB: {MARIADB_FAULTS} (python -m tests --db mariadb)")
    if "postgresql" in wanted and not _names_tests(extra):
        left_out.append(f"on PostgreSQL: {', '.join(ROOMS_WITHOUT_SQL)}, which ask no database")
    for name in wanted:
        try:
            verdict = _run(name, extra, quick=options.quick, is_named=bool(options.db))
        except servers.Absent as missing:
            # Somebody who asks for a database by name is not served by a run without it.
            if options.db or name == "postgresql":
                failed.append(f"{name} ({missing})")
            else:
                left_out.insert(0, f"MariaDB: {missing}")
            continue
        if verdict:
            failed.append(name)
    for line in left_out:
        print(f"Left out: {line}")
    print(f"Failed on: {', '.join(failed)}" if failed else "Green.", flush=True)
    return int(bool(failed))


def _parse(arguments: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__, allow_abbrev=False)
    parser.add_argument("--db", action="append", choices=sorted(DATABASES), help="only this database (may be repeated)")
    parser.add_argument("--quick", action="store_true", help="leave out the faults and what is marked slow")
    return parser.parse_known_args(arguments)


def _run(name: str, extra: list[str], *, quick: bool, is_named: bool) -> int:
    """Run pytest in a process of its own on one database, and return its exit code."""
    with DATABASES[name]() as url:
        environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
        if url:
            environment["DATABASE_URL"] = url
        rooms: list[str] = []
        if name == "mariadb" and not _names_tests(extra):
            rooms = [*MARIADB_ROOMS, *([MARIADB_FAULTS] if is_named else [])]
        elif name == "postgresql" and not _names_tests(extra):
            rooms = [f"--ignore={ROOT / room}" for room in ROOMS_WITHOUT_SQL]
        # Said outright: pytest looks for them beside any path among its arguments.
        place = ["--rootdir", str(ROOT), "-c", str(ROOT / "setup.cfg")]
        command = [sys.executable, "-m", "pytest", *place, *(["--quick"] if quick else []), *extra, *rooms]
        print(f"\n=== {name} ===", flush=True)
        started = time.monotonic()
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        print(
            f"=== {name}: {'green' if code == 0 else f'exit code {code}'} in {time.monotonic() - started:.0f} s ===",
            flush=True,
        )
    if code == NO_TESTS_COLLECTED and (_names_tests(extra) or {"-k", "-m"} & set(extra)):
        print(f"Nothing that you asked for runs on {name}.")
        return 0
    return code


def _names_tests(extra: list[str]) -> bool:
    """Tell whether the caller chose tests by path."""
    return any((ROOT / argument.partition("::")[0]).exists() for argument in extra if not argument.startswith("-"))


def _left_out() -> list[str]:
    """Say what no run of this suite touches on this machine, and why."""
    lines = []
    lines.append(f"Chromium: {_about_the_browser()}.")
    if not shutil.which("node"):
        lines.append("Node: it is not installed, so the tracker's JavaScript is not tested.")
    if not shutil.which("redis-server"):
        lines.append("Redis: it is not installed, so the channel layer is not tested.")
    lines.append("MySQL: expected to work as MariaDB does, and never run by this suite.")
    return lines


def _about_the_browser() -> str:
    try:
        return f"the journeys in {chromium.path()} are made by python -m tests.browser"
    except chromium.Absent as missing:
        return f"python -m tests.browser needs one; {missing}"


if __name__ == "__main__":
    sys.exit(main())
