"""What a heartbeat tells those who watch the worker from outside."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from django_tasks_durable.conf import Options
from django_tasks_durable.primitives import clock
from django_tasks_durable.store import vendors
from django_tasks_durable.testing import advance, frozen
from django_tasks_durable.worker.heartbeat import Heartbeat
from django_tasks_durable.worker.loop import WorkerSettings
from tests.store import acts

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def worker(session: vendors.Session, tmp_path: Path) -> Any:
    """A worker as far as its heartbeat knows it."""
    acts.register(session)
    return SimpleNamespace(
        options=Options(),
        settings=WorkerSettings(health_file=tmp_path / "alive"),
        using="default",
        worker_id=acts.WORKER,
        deaf_because="",
        writer=SimpleNamespace(lock=threading.Lock(), held={}),
        declared_dead=lambda worker_id: None,
    )


@pytest.fixture
def heartbeat(worker: Any) -> Iterator[Heartbeat]:
    """Its heartbeat, whose connection is closed in the end."""
    made = Heartbeat(worker)
    yield made
    made.stop()
    made.run()


def test_each_heartbeat_renews_the_health_file(worker: Any, heartbeat: Heartbeat) -> None:
    file = worker.settings.health_file
    heartbeat.beat()
    assert file.read_text() == f"{acts.WORKER}\n"
    first = file.stat().st_mtime_ns
    heartbeat.beat()
    assert file.stat().st_mtime_ns > first
    assert [each.name for each in file.parent.iterdir()] == ["alive"]


def test_one_that_fails_does_not(worker: Any, heartbeat: Heartbeat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_tasks_durable.store.workers.beat", lambda *args, **kwargs: 1 / 0)
    heartbeat.beat()
    assert heartbeat.failures == 1
    assert not worker.settings.health_file.exists()


def test_a_file_that_cannot_be_written_is_no_failed_heartbeat(
    worker: Any, heartbeat: Heartbeat, caplog: pytest.LogCaptureFixture
) -> None:
    worker.settings = WorkerSettings(health_file=worker.settings.health_file.parent / "missing" / "alive")
    with caplog.at_level(logging.WARNING, "django_tasks_durable.worker"):
        heartbeat.beat()
    assert heartbeat.failures == 0
    assert "cannot be written" in caplog.text


def test_what_comes_before_the_worker_is_registered_takes_nothing_from_its_lease(worker: Any) -> None:
    fenced: list[str] = []
    worker.writer.lose_all = lambda: fenced.append("lost all")
    worker.writer.cut = lambda: None
    with frozen():
        beats = Heartbeat(worker)
        advance(beats.patience + 1)  # its executors start, or the database is down
        beats.registered(clock.monotonic())
        beats.look_after()
        assert fenced == []
        advance(beats.patience + 1)
        beats.look_after()
        assert fenced == ["lost all"]
