"""What the tests of the seeds' behaviours share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.probe import journal


@pytest.fixture
def deeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The journal of what the tasks of a test have done, which no rollback takes back."""
    path = tmp_path / "journal"
    monkeypatch.setenv(journal.VARIABLE, str(path))
    return path
