"""The page of the faults says what was shown, what was not, and why."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.faults.matrix import FAULTS, ROOMS
from tests.faults.page import page

# Played by `python -m tests.faults --soak MINUTES`, which keeps what it found.
SOAKED = {"F38"}
ROOT = Path(__file__).resolve().parent.parent.parent
SOAKS = ROOT / "tests/faults/soaks.json"
MARKED = re.compile(r'"(F\d+)"')


def named() -> set[str]:
    """Find the faults that tests name."""
    found: set[str] = set()
    for room in ROOMS:
        place = ROOT / room
        for path in sorted(place.rglob("test_*.py")) if place.is_dir() else [place]:
            found |= set(MARKED.findall(path.read_text()))
    return found


def test_each_fault_has_a_test_or_a_reason() -> None:
    assert list(FAULTS) == [f"F{number}" for number in range(1, 39)]
    assert {name for name, fault in FAULTS.items() if not fault.not_shown} - SOAKED <= named() <= set(FAULTS)
    assert "green" in {soak["verdict"] for soak in json.loads(SOAKS.read_text())}


def test_a_fault_that_no_run_has_shown_is_owned_up_to() -> None:
    shown: dict[str, Any] = {"passed": 3, "judged_runs": 60, "judged_lost": 0, "judged_again": 2}
    faults = {"F7": shown, "F1": {"skipped": 1}, "F3": {"passed": 1, "failed": 2}}
    told = page({"sqlite": {"version": "SQLite 3.40", "machine": "a machine", "faults": faults}}, [])

    assert "| F7 | random SIGKILLs of workers that share the work | 3, 60, 0, 2 |" in told
    assert "- **F1**, SIGKILL after the claim is committed: not in the last counted run." in told
    assert "| 1; **2 failed** |" in told
    assert "**F7**" not in told
    assert "**F22**" in told
