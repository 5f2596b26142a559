"""Fixtures for tests of tasks. pytest finds them by itself where this package is installed.

Nothing is imported before a test asks for it: pytest loads this before Django is set up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest


@pytest.fixture
def drain_tasks(db: None) -> Callable[..., list[UUID]]:
    """Run everything that is due, right here; see ``testing.drain()``. Brings the database of pytest-django."""
    from django_tasks_durable.testing import drain

    return drain


@pytest.fixture
def frozen_clock() -> Iterator[Callable[[timedelta | float], None]]:
    """Stop the clocks for one test; call it with seconds or a timedelta to move them on."""
    from django_tasks_durable.testing import advance, frozen

    with frozen():
        yield advance
