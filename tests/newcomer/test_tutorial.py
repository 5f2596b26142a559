"""The tutorial is walked, command by command, and its worker is killed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.newcomer.site import Tour
from tests.newcomer.walk import Walk
from tests.pages import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.databases("sqlite"), pytest.mark.timeout(600)]


def test_the_tutorial_leads_to_a_page_that_moves(tmp_path: Path) -> None:
    environment = {
        key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE")
    }
    environment |= {"PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}"}
    walk = Walk(tmp_path, environment, fresh=False)
    try:
        walk.follow(ROOT / "docs/tutorial.md", Tour(walk).looks())
    finally:
        walk.close()
    told = "\n".join(walk.told)
    assert "succeeded" in told
    assert told.count("step:rows from 0\n") == 1, "a chunk was written twice"
