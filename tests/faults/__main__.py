"""Do to it what happens to systems: `python -m tests.faults`, with `--nightly`, `--soak MINUTES`, `--db` or `--table`.

What was found is kept beside the page that `--table` writes from it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.faults.matrix import ROOMS
from tests.faults.page import page

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "explanation" / "faults.md"
FOUND = Path(__file__).with_name("found.json")
SOAKS = Path(__file__).with_name("soaks.json")
DATABASES = ("sqlite", "postgresql", "mariadb")


def main() -> int:
    """Run a tier, or write the page; return 0 when nothing was lost."""
    chosen = _chosen()
    if chosen.table:
        PAGE.write_text(page(_read(FOUND, {}), _read(SOAKS, [])))
        print(f"Wrote {PAGE.relative_to(ROOT)}.")
        return 0
    if chosen.soak:
        command = [sys.executable, "-m", "tests.faults.soak", "--minutes", str(chosen.soak), "--keep", str(SOAKS)]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    databases = [word for name in chosen.db or DATABASES for word in ("--db", name)]
    tier = ["--nightly"] if chosen.nightly else []
    command = [sys.executable, "-m", "tests", *databases, *tier, f"--fault-report={FOUND}", "-m", "fault", *ROOMS]
    environment = {**os.environ, "HELD_SECONDS": str(chosen.held)}
    return subprocess.run([*command, *chosen.rest], cwd=ROOT, env=environment, check=False).returncode


def _chosen() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__, allow_abbrev=False)
    parser.add_argument("--nightly", action="store_true", help="repeat each fault, as nobody would on each push")
    parser.add_argument(
        "--held",
        type=float,
        default=60,
        metavar="SECONDS",
        help="how long --nightly holds a snapshot open (default: 60)",
    )
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="play the storm of everything, so long")
    parser.add_argument("--db", action="append", choices=DATABASES, help="only this database (may be repeated)")
    parser.add_argument("--table", action="store_true", help="write docs/explanation/faults.md from what was found")
    chosen, chosen.rest = parser.parse_known_args()
    return chosen


def _read(path: Path, nothing: Any) -> Any:
    return json.loads(path.read_text()) if path.exists() else nothing


if __name__ == "__main__":
    sys.exit(main())
