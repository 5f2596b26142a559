"""Rows of every kind that an older release left behind are listed, shown, replayed, answered and retried by today's code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FIXTURES = sorted(HERE.glob("*.json"))


# Each has a database of its own, of one brand.
@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda file: file.stem)
def test_rows_of_an_older_release_go_on(fixture: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    outcome = subprocess.run(
        [sys.executable, "-m", "tests.upgrade", "read", str(fixture)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_there_is_a_fixture_of_the_first_migration() -> None:
    assert "0001" in [file.stem for file in FIXTURES]
