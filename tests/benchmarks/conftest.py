"""What the tests of the instrument share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from django_tasks_durable.management.bench.drivers import limits_of


@pytest.fixture
def scratch(transactional_db: None) -> Iterator[Any]:
    """Give the yardsticks of the test database, and take their tables away."""
    from django.db import connection

    yardsticks = limits_of("default", seconds=0.05)
    yield yardsticks
    yardsticks.close()
    with connection.cursor() as cursor:
        for table in ("limit_run", "limit_held", "limit_step"):
            cursor.execute(f"DROP TABLE {table}")
