"""Races need rows that others see: no test here runs inside a transaction."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_tasks_durable.store import vendors


@pytest.fixture
def session(transactional_db: None) -> vendors.Session:
    """Speak to the test's database through Django's connection."""
    return vendors.session("default")


@pytest.fixture
def other_session(transactional_db: None) -> Iterator[vendors.Session]:
    """Speak to the test's database on a second connection."""
    session = vendors.private_session("default")
    yield session
    session.close()
