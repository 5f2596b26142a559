"""Runs in the database that are driven in process: all that streams from memory do, with a lease."""

from __future__ import annotations

import pytest

from django_tasks_durable import DatabaseStore
from tests.engine.conftest import frozen  # noqa: F401
from tests.engine.test_streams import *  # noqa: F403
from tests.pulses import settled  # noqa: F401
from tests.seeds.test_tiny_tasks import *  # noqa: F403

# Other threads look on, and have to see what this one commits.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def store() -> DatabaseStore:
    """The database."""
    return DatabaseStore()
