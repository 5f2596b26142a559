"""A yard of workers on this test's database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.harness import ROOT, Yard
from tests.faults.nursery import Nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Load the project once for all workers."""
    environment = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    nursery = Nursery({**os.environ, **environment})
    yield nursery
    nursery.close()


@pytest.fixture
def yard(child_environment: dict[str, str], tmp_path: Path, nursery: Nursery) -> Iterator[Yard]:
    """Start workers here; they are gone when the test is over."""
    yard = Yard(child_environment, tmp_path, nursery)
    yield yard
    yard.close()
