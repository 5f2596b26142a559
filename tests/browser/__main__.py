"""Walk through the pages in a real browser: `python -m tests.browser [--headed] [--pictures] [--quick]`.

On SQLite and on PostgreSQL, or on what --db names. Everything else on the command line goes to pytest.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests import __main__ as suite
from tests import servers
from tests.browser import chromium

ROOT = Path(__file__).resolve().parent.parent.parent
JOURNEYS = "tests/browser"
DATABASES = ("sqlite", "postgresql", "mariadb")


def main(arguments: list[str] | None = None) -> int:
    """Run the journeys once for each database. Return 0 only when each run is green; a missing browser is a failure."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser", description=__doc__, allow_abbrev=False)
    parser.add_argument("--db", action="append", choices=DATABASES, help="only this database (may be repeated)")
    options, extra = parser.parse_known_args(arguments)
    try:
        print(f"The browser is {chromium.path()}.", flush=True)
    except chromium.Absent as missing:
        print(f"No journey can be made: {missing}", file=sys.stderr)
        return 2
    if not servers.redis_answers():
        print("Left out: the journeys with Redis, because none answers on 127.0.0.1:6379.")
    verdicts = [_run(name, extra) for name in options.db or ["sqlite", "postgresql"]]
    return int(any(verdicts))


def _run(name: str, extra: list[str]) -> int:
    """Run pytest in a process of its own on one database, and return its exit code."""
    with suite.DATABASES[name]() as url:
        environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
        if url:
            environment["DATABASE_URL"] = url
        place = ["--rootdir", str(ROOT), "-c", str(ROOT / "setup.cfg")]
        rooms = [] if any("tests/browser" in argument for argument in extra) else [JOURNEYS]
        print(f"\n=== {name} ===", flush=True)
        command = [sys.executable, "-m", "pytest", *place, "--browser", *rooms, *extra]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
