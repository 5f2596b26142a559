"""Each row of the fixture is listed, shown and gone on with."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import UUID

from django.core.management import call_command

from django_tasks_durable import export_snapshot, testing
from django_tasks_durable.snapshots import read

from . import tasks

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def everything() -> None:
    """Raise AssertionError for the first thing that is not as it was."""
    with testing.frozen(NOON):
        found = listed()
        shown(found)
        answered(found)
        ended(found)
        held()


def listed() -> dict[str, Any]:
    """Return the result of each run by its task and argument, as the list shows them."""
    out = StringIO()
    call_command("tasks", "list", stdout=out)
    results = [*testing.enqueued(tasks.ask), *testing.enqueued(tasks.child), *testing.enqueued(tasks.nap)]
    found = {_name(result): result for result in results}
    for task in (tasks.values, tasks.fail, tasks.parent, tasks.Tally.task):
        (found[task.func.__name__],) = testing.enqueued(task)
    assert len(found) == 10, sorted(found)
    assert all(result.id[-8:] in out.getvalue() for result in found.values()), out.getvalue()
    return found


def _name(result: Any) -> str:
    return f"{result.task.func.__name__}:{(result.args or [result.status])[0]}:{result.task.queue_name}"


def shown(found: dict[str, Any]) -> None:
    """Show each run whole, in the terminal, as a snapshot and as a file."""
    for result in found.values():
        call_command("tasks", "show", result.id, stdout=StringIO())
        assert read.one(UUID(result.id), using="default").as_dict()["id"] == result.id
        assert read.timeline(UUID(result.id), after=0, using="default")
        export_snapshot(result.id)
    ann = read.one(UUID(found["ask:ann:default"].id), using="default").as_dict()
    assert (ann["state"], ann["progress"]["percent"], ann["metadata"]) == ("waiting", 40, {"by": "ann"})
    assert [item.partial for item in _partials(found["ask:ann:default"])] == [{"size": 3}]


def _partials(result: Any) -> list[Any]:
    from django_tasks_durable.backend import following

    return following.partials(UUID(result.id), 0, using="default")


def answered(found: dict[str, Any]) -> None:
    """Go on with what waits, and replay what came before."""
    ann, tally = found["ask:ann:default"], found["Tally"]
    for result in (ann, tally, found["parent"], found["nap:READY:default"]):
        testing.replay(result)
    assert tasks.Tally.of(tally.id).add(2) == 1
    for result, value in ((ann, "yes"), (tally, None), (found["child:a:default"], 1), (found["child:b:default"], 2)):
        testing.answer(result, value)
    ann.send("word", "hello")
    testing.drain()
    assert _value(ann) == [3, "yes", "hello"]
    assert _value(found["parent"]) == ["1", "2"]
    assert _value(found["nap:READY:default"]) == "awake"
    assert _value(tally).seen == [2]


def _value(result: Any) -> Any:
    result.refresh()
    assert result.status == "SUCCESSFUL", (result.task.name, result.status, result.errors)
    return result.return_value


def ended(found: dict[str, Any]) -> None:
    """Read how the others ended, and retry the one that failed."""
    told = _value(found["values"])
    assert told == {
        "decimal": Decimal("1.10"),
        "instant": datetime(2026, 11, 21, 12, tzinfo=UTC),
        "tuple": (1, "two"),
        "set": {3},
        "bytes": b"\x00\xff",
        "big": 2**5000,
    }
    assert found["ask:bob:later"].state == "cancelled"
    failed = found["fail"]
    assert failed.errors[0].exception_class is LookupError
    tasks.mended.append("yes")
    failed.retry()
    testing.drain()
    assert _value(failed) == "mended"


def held() -> None:
    """Names are still held, and the paused queue still is."""
    assert tasks.ask.using(dedupe_key="ask:ann").enqueue("ann").disposition == "created", "its run has ended"
    out = StringIO()
    call_command("tasks", "queues", stdout=out)
    assert "later" in out.getvalue()
    assert "paused" in out.getvalue()
