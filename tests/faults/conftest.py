"""A yard of workers on this test's database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.harness import Yard


@pytest.fixture
def yard(child_environment: dict[str, str], tmp_path: Path) -> Iterator[Yard]:
    """Start workers here; they are gone when the test is over."""
    yard = Yard(child_environment, tmp_path)
    yield yard
    yard.close()
