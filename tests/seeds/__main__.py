"""Print the rows of the seed checklist that no passing test shows: `python -m tests.seeds`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.seeds import checklist

ROOT = Path(__file__).resolve().parent.parent.parent
Outcomes = dict[str, Counter[str]]


def main(arguments: list[str] | None = None) -> int:
    """Report the rows without a passing test. Return 1 while there is one that counts."""
    options = _parse(arguments)
    rows = {row: title for row, title in checklist.rows().items() if row.startswith(options.only)}
    drift = _drift(options.compare)
    outcomes = _read(options.outcomes) if options.outcomes else _run()
    unshown = [row for row in rows if not _is_shown(outcomes.get(row))]
    unknown = sorted(set(outcomes) - set(checklist.rows()))
    for row in unshown:
        print(f"{row:7} {rows[row]}{_why(outcomes.get(row))}")
    for row in unknown:
        print(f"{row:7} is named by a test, but is no row of the checklist")
    print("\n".join(drift))
    print(f"{len(rows) - len(unshown)} of {len(rows)} rows have a passing test.")
    if not options.claimed:
        return int(bool(unshown or unknown or drift))
    broken = sorted(checklist.claimed() & set(unshown))
    silent = sorted(set(rows) - set(unshown) - checklist.claimed())
    print(
        f"{len(checklist.claimed())} rows are claimed; {len(broken)} of these are not shown: {' '.join(broken) or '-'}"
    )
    if silent:
        print(f"Shown but not claimed yet (add them to tests/seeds/claimed.txt): {' '.join(silent)}")
    return int(bool(broken or unknown or drift))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.seeds", description=__doc__)
    parser.add_argument("--only", default="", metavar="PREFIX", help="only the rows whose id begins so: TT, TW, TR, AW")
    parser.add_argument("--claimed", action="store_true", help="fail only for rows listed in tests/seeds/claimed.txt")
    parser.add_argument("--from", dest="outcomes", nargs="+", type=Path, help="reports of `pytest --seed-report`")
    parser.add_argument(
        "--compare",
        type=Path,
        default=Path(os.environ["SEEDS_FILE"]) if "SEEDS_FILE" in os.environ else None,
        help="the page that the checklist was made from, if it lies somewhere",
    )
    return parser.parse_args(arguments)


def _run() -> Outcomes:
    """Run the marked tests on the database that DATABASE_URL names, else on SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "seeds.json"
        # A slow machine is no missing row, and a timeout would take the whole report with it.
        command = [sys.executable, "-m", "pytest", "-q", "-m", "seed", "--timeout=900", f"--seed-report={report}"]
        subprocess.run(command, cwd=ROOT, check=False)
        return _read([report])


def _read(reports: list[Path]) -> Outcomes:
    """Add up several reports: a row must pass somewhere, and fail nowhere."""
    total: Outcomes = {}
    for report in reports:
        for row, counts in json.loads(report.read_text()).items():
            total.setdefault(row, Counter()).update(counts)
    return total


def _is_shown(counts: Counter[str] | None) -> bool:
    return counts is not None and counts["passed"] > 0 and not counts["failed"]


def _why(counts: Counter[str] | None) -> str:
    """Tell a row that fails from one that nobody has tried."""
    if counts is None:
        return ""
    return f"   [{counts['failed']} failed, {counts['skipped']} left out, {counts['passed']} passed]"


def _drift(page: Path | None) -> list[str]:
    """Say where our list and the page differ."""
    if page is None:
        return []
    theirs, ours = checklist.read_page(page.read_text()), checklist.rows()
    lines = [
        f"{row:7} is on the page but not in tests/seeds/rows.txt: {theirs[row]}" for row in theirs.keys() - ours.keys()
    ]
    lines += [f"{row:7} is in tests/seeds/rows.txt but not on the page" for row in ours.keys() - theirs.keys()]
    lines += [
        f"{row:7} has another title on the page: {theirs[row]!r}"
        for row in ours.keys() & theirs.keys()
        if ours[row] != theirs[row]
    ]
    return sorted(lines)


if __name__ == "__main__":
    sys.exit(main())
