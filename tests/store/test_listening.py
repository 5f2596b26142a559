"""A listener behind a pooler: one that forwards what it hears is fine, one that swallows it is told as deaf."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from django_tasks_durable.models import Worker
from django_tasks_durable.snapshots import health, house
from django_tasks_durable.snapshots.metrics import metrics
from django_tasks_durable.store import vendors, workers
from django_tasks_durable.store.vendors import listening
from tests.doors.rows import a_worker
from tests.store import acts

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every connection look as if a pooler stood before the server."""
    monkeypatch.setattr(listening, "reaches_server", lambda raw: False)


@pytest.mark.databases("postgresql")
def test_a_pooler_that_forwards_notifications_is_no_trouble(pooled: None) -> None:
    hints = listening.PostgresHints("default")
    assert next(iter(hints.wait(threading.Event()))) == listening.ANYTHING
    hints.close()


@pytest.mark.databases("postgresql")
def test_a_pooler_that_swallows_them_is_found_out(pooled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "ECHO_SECONDS", 0.2)
    hints = listening.PostgresHints("default", "dtd_work")
    send = vendors.Session.execute

    def swallow(session: Any, sql: str, *args: Any) -> Any:
        return [] if sql.startswith("NOTIFY") else send(session, sql, *args)

    monkeypatch.setattr(vendors.Session, "execute", swallow)
    with pytest.raises(ConnectionError, match="a pooler in between swallows"):
        next(iter(hints.wait(threading.Event())))
    hints.close()


def test_a_worker_says_with_its_heartbeat_how_it_fares(session: vendors.Session) -> None:
    acts.register(session)
    workers.beat(session, acts.WORKER, failures=3, deaf_because="a pooler in between " + "x" * 300)
    (told,) = house.workers(using="default")
    assert told.failed_heartbeats == 3
    assert told.deaf_because.startswith("a pooler")
    assert len(told.deaf_because) == 200
    figures = {metric.name: metric.samples[0][1] for metric in metrics(using="default") if metric.samples}
    assert (figures["heartbeat_failures"], figures["workers_deaf"]) == (3, 1)
    (finding,) = [each for each in health.diagnose(using="default", known=[]) if each.code == "WORKER_DEAF"]
    assert "listen_database" in finding.hint
    workers.beat(session, acts.WORKER, failures=3)
    assert not [each for each in health.diagnose(using="default", known=[]) if each.code == "WORKER_DEAF"]


def test_a_worker_that_has_left_is_not_counted(session: vendors.Session) -> None:
    a_worker("gone", failed_heartbeats=9, deaf_because="gone", stopped_at="2026-01-01T00:00:00Z")
    assert Worker.objects.get().failed_heartbeats == 9
    figures = {metric.name: metric.samples[0][1] for metric in metrics(using="default") if metric.samples}
    assert (figures["heartbeat_failures"], figures["workers_deaf"]) == (0, 0)
