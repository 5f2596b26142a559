"""The browser's tracker, as far as it needs no browser: Node runs its tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent / "js"
NODE = shutil.which("node")


@pytest.mark.seed("TR-31")
@pytest.mark.databases("sqlite")  # no database is asked: once is enough
@pytest.mark.skipif(NODE is None, reason="Node is not installed: apt-get install nodejs")
@pytest.mark.parametrize("script", sorted(TESTS.glob("*.test.mjs")), ids=lambda path: path.name)
def test_the_tracker_does_in_javascript_what_it_says(script: Path) -> None:
    outcome = subprocess.run([str(NODE), "--test", str(script)], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout[-6000:] + outcome.stderr[-2000:]
    assert "# fail 0" in outcome.stdout
