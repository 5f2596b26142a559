"""What happens to runs and workers, as entries that other systems take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from django_tasks_durable import forward, get_context, log, progress, task, testing
from django_tasks_durable.live import forwarding
from django_tasks_durable.models import Step, Worker
from django_tasks_durable.primitives.status import StepKind
from django_tasks_durable.primitives.writes import Started
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.entries import Entry, as_entry, worker_entries
from django_tasks_durable.snapshots.policy import MASK
from django_tasks_durable.store import control, vendors
from tests.store import acts

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parent.parent.parent
AT = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


@task
def tells() -> str:
    """Tell how far it is, something with a secret, and an answer."""
    progress(30, "reading", meta={"page": 1, "note": ""})
    log("read", level="warn", percent=40, password="hush", empty="", rows=0)
    get_context().step("load", str, "page")
    return "done"


@task
def waits() -> Any:
    """Wait for an answer."""
    return get_context().wait("go")


@task
def breaks() -> None:
    """Fail."""
    raise ValueError("no")


Told = list[Entry]


@pytest.fixture
def listening() -> Iterator[Callable[[Callable[[Entry], object]], None]]:
    """Forward to sinks until the test is over."""
    ends: list[Callable[[], None]] = []
    yield lambda sink: ends.append(forward(sink))
    for end in ends:
        end()


@pytest.fixture
def told(listening: Any) -> Told:
    """What a sink was told."""
    heard: Told = []
    listening(heard.append)
    return heard


def entries_of(run_id: Any) -> list[dict[str, Any]]:
    run = read.one(run_id, using="default")
    return [as_entry(line, run).as_dict() for line in read.timeline(run.id, using="default")]


@pytest.mark.seed("TR-28")
@pytest.mark.seed("TR-42")
def test_a_run_is_told_in_the_order_of_its_life_and_its_success_is_last(told: Told) -> None:
    run_id = tells.enqueue().run_id
    testing.drain()
    types = [entry.type for entry in told]
    assert [kind for kind in types if kind != "progress"] == [
        "enqueued", "claimed", "started", "log", "step", "succeeded"
    ]  # fmt: skip
    assert types.index("started") < types.index("progress") < types.index("succeeded")
    assert {entry.task_id for entry in told} == {str(run_id)}
    assert [entry.sequence for entry in told if entry.sequence] == [1, 2, 3, 4, 5, 6]


def test_a_wait_and_its_end_are_told(told: Told) -> None:
    run_id = waits.enqueue().run_id
    testing.drain()
    assert (told[-1].type, told[-1].state) == ("waiting", "waiting")
    control.resume(run_id, 7, using="default")
    testing.drain()
    types = [entry.type for entry in told]
    assert types.index("waiting") < types.index("resumed") < types.index("succeeded")
    lines = [entry.sequence for entry in told if entry.type != "progress"]
    assert lines == list(range(1, len(lines) + 1))


@pytest.mark.seed("TR-P9")
def test_an_entry_has_no_field_that_is_empty_and_hides_what_is_secret(told: Told) -> None:
    run_id = tells.enqueue().run_id
    testing.drain()
    (line,) = (entry.as_dict() for entry in told if entry.type == "log")
    timestamp, worker = line.pop("timestamp"), line.pop("worker")
    assert datetime.fromisoformat(timestamp).tzinfo
    assert worker == read.one(run_id, using="default").lease_worker
    assert line == {
        "v": 1,
        "type": "log",
        "level": "warn",
        "message": "read",
        "percent": 40.0,
        "metadata": {"attempt": 1, "data": {"password": MASK, "rows": 0}},
        "task_id": str(run_id),
        "task_path": f"{__name__}.tells",
        "state": "running",
        "channels": [f"task:{run_id}", f"kind:{__name__}.tells"],
        "sequence": 4,
    }
    enqueued = told[0].as_dict()
    assert set(enqueued) == {"v", "type", "level", "timestamp", "task_id", "task_path", "state", "channels", "sequence"}
    (far,) = (entry.as_dict() for entry in told if entry.type == "progress")
    assert (far["message"], far["metadata"]) == ("reading", {"data": {"page": 1}})


@pytest.mark.seed("TR-P9")
@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("succeeded", "success"), ("failed", "error"), ("retried", "warn"), ("cancelled", "warn"), ("stale", "warn"),
        ("claimed", "debug"), ("step", "debug"),
    ],
)  # fmt: skip
def test_the_level_of_an_entry_is_that_of_its_type_or_the_lines_own(kind: str, level: str) -> None:
    run_id = acts.enqueue()
    Step.objects.filter(run_id=run_id).update(kind=StepKind(kind), level="debug")
    (entry,) = entries_of(run_id)
    assert (entry["type"], entry["level"]) == (kind, level)


@pytest.mark.seed("TR-P10")
def test_a_worker_that_starts_stops_or_falls_silent_is_an_entry() -> None:
    common = {"host": "mill", "pid": 7, "heartbeat_at": AT, "concurrency": 4}
    Worker.objects.create(id="one", started_at=AT, stopped_at=AT + timedelta(seconds=9), **common)
    Worker.objects.create(id="two", started_at=AT + timedelta(seconds=1), dead_at=AT + timedelta(seconds=5), **common)
    Worker.objects.create(id="three", started_at=AT + timedelta(seconds=2), **common)
    found = [entry.as_dict() for entry in worker_entries(using="default")]
    assert [(entry["type"], entry["level"], entry["worker"]) for entry in found] == [
        ("worker_started", "info", "one"),
        ("worker_started", "info", "two"),
        ("worker_started", "info", "three"),
        ("worker_stopped", "warn", "two"),
        ("worker_stopped", "info", "one"),
    ]
    assert found[0] == {
        "v": 1,
        "type": "worker_started",
        "level": "info",
        "timestamp": AT.isoformat(),
        "metadata": {"host": "mill", "pid": 7, "concurrency": 4},
        "worker": "one",
    }


@pytest.mark.seed("TR-P10")
def test_runs_of_a_lost_worker_are_counted_in_one_entry(told: Told) -> None:
    session = vendors.session("default")
    acts.register(session)
    for _ in range(2):
        acts.enqueue()
    for claimed in acts.claim(session):
        acts.hand_in(session, claimed, Started(lease=claimed.lease))
    forwarding.signals.run_changed.send(None, using="default", run_ids=acts.lose_worker(session))
    assert [entry.worker for entry in told if entry.type == "stale"] == [acts.WORKER] * 2
    assert (told[-1].type, told[-1].metadata) == ("stale_requeued", {"count": 2, "workers": [acts.WORKER]})


@pytest.mark.seed("TR-42")
def test_a_sink_that_fails_fails_no_task_and_no_other_sink(
    listening: Any, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    listening(lambda entry: 1 / 0)
    result = tells.enqueue()
    testing.drain()
    assert result.snapshot().result == "done"
    assert told[-1].type == "succeeded"
    assert "A sink failed on the entry succeeded" in caplog.text


@pytest.mark.seed("TR-42")
def test_a_sink_that_changes_runs_is_told_of_it_later_and_once(listening: Any) -> None:
    heard: Told = []

    def sink(entry: Entry) -> None:
        heard.append(entry)
        if entry.type == "started" and entry.task_path.endswith("tells"):
            other = acts.enqueue()
            forwarding.signals.run_changed.send(None, using="default", run_ids=[entry.task_id, other])

    listening(sink)
    tells.enqueue()
    testing.drain()
    types = [entry.type for entry in heard if entry.type != "progress"]
    assert types[:7] == ["enqueued", "claimed", "started", "log", "step", "succeeded", "enqueued"]


@pytest.mark.seed("TR-42")
def test_what_could_not_be_read_is_told_with_the_next_change(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*args: Any, **kwargs: Any) -> Any:
        raise forwarding.DatabaseError("gone")

    with monkeypatch.context() as broken:
        broken.setattr(forwarding.read, "timeline", unreadable)
        first = breaks.enqueue().run_id
        testing.drain()
    assert told == []
    second = breaks.enqueue().run_id
    testing.drain()
    assert [entry.task_id for entry in told if entry.type == "failed"] == [str(first), str(second)]


def test_a_sink_hears_nothing_after_its_end() -> None:
    heard: Told = []
    end = forward(heard.append)
    end()
    tells.enqueue()
    testing.drain()
    assert heard == []


def test_places_are_kept_for_so_many_runs_only(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "KEPT_PLACES", 1)
    for _ in range(3):
        tells.enqueue()
    testing.drain()
    assert [entry.type for entry in told].count("succeeded") == 3


def test_the_command_shows_a_run_as_entries() -> None:
    run_id = tells.enqueue().run_id
    testing.drain()
    out = StringIO()
    call_command("tasks", "show", str(run_id), "--entries", stdout=out)
    shown = json.loads(out.getvalue())
    assert [entry["type"] for entry in shown] == ["enqueued", "claimed", "started", "log", "step", "succeeded"]
    assert "hush" not in out.getvalue()


@task
def looks() -> list[Any]:
    """Look at what a task is given."""
    context = get_context()
    assert not [name for name in dir(context) if "lease" in name or name == "token"]
    return [str(context.run_id), context.task_path, context.attempt, context.max_attempts]


def test_a_task_sees_what_it_is_and_no_lease() -> None:
    result = looks.using(max_attempts=3).enqueue()
    testing.drain()
    assert result.snapshot().result == [str(result.run_id), f"{__name__}.looks", 1, 3]


SETTINGS = """
from tests.settings import *
DATABASES = {{alias: {{"ENGINE": "django.db.backends.sqlite3", "NAME": {folder!r} + "/" + alias}} for alias in ("default", "runs")}}
TASKS = {{"default": {{"BACKEND": "django_tasks_durable.DurableBackend", "QUEUES": [], "OPTIONS": {{"database": "runs"}}}}}}
DATABASE_ROUTERS = ["apart.Router"]

class Router:
    def db_for_read(self, model, **hints):
        return "runs" if model._meta.app_label == "durable_tasks" else None
    db_for_write = db_for_read
    def allow_migrate(self, db, app_label, **hints):
        if app_label == "durable_tasks":
            return db == "runs"
        return False if db == "runs" else None
"""
PROGRAM = """
import django; django.setup()
from django.core.management import call_command
from django.db import connections
from django_tasks_durable import testing
from tests.probe.tasks import echo
for alias in ("default", "runs"):
    call_command("migrate", database=alias, verbosity=0)
result = echo.enqueue(7)
testing.drain()
print(result.snapshot().result)
for alias in ("default", "runs"):
    print(sum(name.startswith("durable_tasks_") for name in connections[alias].introspection.table_names()) > 0)
call_command("sqlmigrate", "durable_tasks", "0001", database="runs")
"""


@pytest.mark.seed("TR-41")
@pytest.mark.databases("sqlite")
def test_runs_live_in_a_database_of_their_own_by_an_alias_and_a_router(tmp_path: Path) -> None:
    (tmp_path / "apart.py").write_text(SETTINGS.format(folder=str(tmp_path)))
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "apart", "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout.splitlines()
    assert said[:3] == ["7", "False", "True"]
    assert 'CREATE TABLE "durable_tasks_taskrun"' in ended.stdout
