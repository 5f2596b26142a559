"""Break the package in a copy, one bug at a time, and tell which bugs the tests do not notice.

`python -m tests.mutants` does it on SQLite, `--db postgresql` and `--db mariadb` on those; words choose mutants by name.
A mutant is killed only when its tests pass without it and fail with it. A test that ran out of time has noticed nothing, unless
the mutant says that it hangs. `--by tests/simulator` asks what those tests notice, instead of each mutant's own.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests import servers
from tests.mutants.mutations import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parent.parent.parent
COPIED = ("django_tasks_durable", "example_project", "tests", "manage.py", "setup.cfg")
DATABASES = {"sqlite": servers.sqlite, "postgresql": servers.postgresql, "mariadb": servers.mariadb}
TESTS_FAILED = 1
SECONDS = 90
TIMED_OUT = re.compile(r"\++ Timeout \++|from pytest-timeout")


def main() -> int:
    """Try every mutant of one database; return 0 when all are killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--db", default="sqlite", choices=sorted(DATABASES))
    parser.add_argument(
        "--by", action="append", metavar="TESTS", help="let these kill it, not its own (may be repeated)"
    )
    parser.add_argument("words", nargs="*", help="only mutants whose name holds one of these")
    options = parser.parse_args()
    chosen = [
        replace(mutant, tests=tuple(options.by or mutant.tests))
        for mutant in MUTANTS
        if options.db in mutant.on and (not options.words or any(word in mutant.name for word in options.words))
    ]
    with DATABASES[options.db]() as url, tempfile.TemporaryDirectory(prefix="durable-mutants-") as folder:
        _copy(Path(folder))
        if chosen and _run(Path(folder), url, sorted({test for mutant in chosen for test in mutant.tests}))[0]:
            print("The tests fail without any mutant, so they can kill none.")
            return 1
        survivors = [
            f"{mutant.name} ({verdict})" for mutant in chosen if (verdict := _survives(mutant, Path(folder), url))
        ]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} killed on {options.db}.")
    for line in survivors:
        print(f"Alive: {line}")
    return int(bool(survivors))


def _copy(folder: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def _survives(mutant: Mutant, folder: Path, url: str) -> str:
    """Make the bug, run its tests, take it back. Return why it lives, or nothing."""
    kept = {name: (folder / name).read_text() for name, _, _ in mutant.edits}
    try:
        for name, old, new in mutant.edits:
            text = (folder / name).read_text()
            if text.count(old) != 1:
                return f"{name} holds {old!r} {text.count(old)} times, not once: bring the mutant up to date"
            (folder / name).write_text(text.replace(old, new))
        said = survives(mutant, *_run(folder, url, list(mutant.tests)))
    finally:
        for name, text in kept.items():
            (folder / name).write_text(text)
    print(f"{'ALIVE ' if said else 'killed'}  {mutant.name}", flush=True)
    return said


def survives(mutant: Mutant, code: int, output: str) -> str:
    """Say why a mutant lives, by how pytest ended with it and what it wrote; nothing when it was killed."""
    if code != TESTS_FAILED:
        return f"pytest said {code}"
    if TIMED_OUT.search(output) and not mutant.hangs:
        return "a test ran out of time, which may have many reasons: let one fail, or say that the mutant hangs"
    return ""


def _run(folder: Path, url: str, tests: list[str], seconds: int = SECONDS) -> tuple[int, str]:
    """Run tests up to the first that fails; return pytest's exit code and what it wrote."""
    environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    environment |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **({"DATABASE_URL": url} if url else {})}
    # A file and no pipe: processes that a test has started may outlive it, and would be waited for.
    with tempfile.TemporaryFile() as output:
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", f"timeout={seconds}", "-x", *tests],
            cwd=folder, env=environment, check=False, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        output.seek(0)
        return ended.returncode, output.read().decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
