"""A worker and a claimed run, ready to be acted upon."""

from __future__ import annotations

import pytest

from django_tasks_durable.primitives.writes import ClaimedRun
from django_tasks_durable.store import vendors
from tests.store import acts


@pytest.fixture
def session(db: None) -> vendors.Session:
    """Speak to the test's database through Django's connection."""
    return vendors.session("default")


@pytest.fixture
def claimed(session: vendors.Session) -> ClaimedRun:
    """Enqueue one run and claim it for the first worker."""
    acts.register(session)
    acts.enqueue()
    return acts.claim(session)[0]


@pytest.fixture
def other_session(transactional_db: None) -> vendors.Session:
    """Speak to the test's database on a second connection."""
    session = vendors.private_session("default")
    yield session
    session.close()
