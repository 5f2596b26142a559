"""What the engine's tests share. None of them touches a database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from django_tasks_durable.primitives import clock
from django_tasks_durable.store.memory import MemoryStore


@pytest.fixture
def frozen() -> Iterator[datetime]:
    """Stop the clocks."""
    yield clock.freeze(datetime(2030, 1, 1, 12, tzinfo=UTC))
    clock.unfreeze()


@pytest.fixture
def store() -> MemoryStore:
    """An empty store."""
    return MemoryStore()
