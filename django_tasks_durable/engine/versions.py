"""The version of a task's code that a run's history is of, led to that of the code before the body begins."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django_tasks_durable.authoring.registry import migrations_of
from django_tasks_durable.authoring.tasks import options_of
from django_tasks_durable.compat import Task
from django_tasks_durable.exceptions import VersionMismatch
from django_tasks_durable.primitives.portable import PortableRun
from django_tasks_durable.primitives.status import Level, StepKind, WakeReason
from django_tasks_durable.primitives.writes import Append, ClaimedRun, History, Line, Migrated, Suspended

from .effects import Act, Call, Durable
from .replay import Replay
from .slice import Slice

SHORTEST_SECONDS = 30.0
LONGEST_SECONDS = 600.0


def are_one(slice: Slice) -> bool:
    """Tell whether the history is of the code's version, so that there is nothing to lead."""
    assert slice.task is not None, "a run without its task was refused before"
    return slice.claimed.code_version == options_of(slice.task).version


def led(slice: Slice) -> Act[Suspended | None]:
    """Lead the history, which is of another version, to that of the code.

    Return the outcome of a run that waits for a worker with its own version.
    Raise VersionMismatch when nothing leads there, with the history as it was.
    """
    assert slice.task is not None, "a run without its task was refused before"
    options, claimed = options_of(slice.task), slice.claimed
    history: History = History(inbox=claimed.inbox)
    if not claimed.is_fresh:
        history = yield Call(slice.store.history, (claimed,))
    try:
        migrated = yield Call(_migrated, (claimed, slice.task, history))
    except VersionMismatch:
        if not options.pin_version:
            raise
        return _left_to_others(slice, options.version, history.inbox)
    yield Durable(migrated)
    slice.start_over(Replay(_after(history, migrated)))
    return None


def history_led(claimed: ClaimedRun, task: Task[..., Any], history: History) -> History:
    """Return the history as the code's version would have left it. Raise VersionMismatch."""
    return _after(history, _migrated(claimed, task, history))


def _migrated(claimed: ClaimedRun, task: Task[..., Any], history: History) -> Migrated:
    stored, version = claimed.code_version, options_of(task).version
    checkpoints, waits = tuple(history.checkpoints), tuple(history.waits)
    if stored < version and not (checkpoints or waits or history.partials):
        told = f"Nothing was done yet: from version {stored} to {version}"
    else:
        run = _document_led(claimed, task, history)
        checkpoints, waits = run.checkpoints, run.waits
        told = f"From version {stored} to {version}"
    line = Line(kind=StepKind.MIGRATED, message=told)
    return Migrated(lease=claimed.lease, code_version=version, checkpoints=checkpoints, waits=waits, line=line)


def _document_led(claimed: ClaimedRun, task: Task[..., Any], history: History) -> PortableRun:
    # The portable snapshot knows this package's stores, and those who run no old code need not know it.
    from .portable import assert_valid_snapshot, export_snapshot, migrate, reading

    version = options_of(task).version
    run = PortableRun(
        task_path=claimed.task_path,
        args=claimed.args,
        kwargs=claimed.kwargs,
        options=claimed.options,
        backend=claimed.backend,
        queue_name=claimed.queue_name,
        priority=claimed.priority,
        run_id=claimed.run_id,
        enqueued_at=claimed.enqueued_at,
        inbox=history.inbox,
        max_attempts=claimed.max_attempts,
        checkpoints=tuple(history.checkpoints),
        waits=tuple(history.waits),
    )
    document = export_snapshot(run, version=claimed.code_version, with_tokens=True)
    migrations = migrations_of(claimed.task_path)
    try:
        led = migrate(document, {known: _typed(known, one) for known, one in migrations.items()}, to=version)
        return reading.run_of(assert_valid_snapshot(led), task)[0]
    except VersionMismatch:
        raise
    except Exception as error:
        problem = f"what its migrations leave cannot be read ({error})."
        raise VersionMismatch(claimed.code_version, version, problem) from error


def _typed(version: int, migration: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    def named(document: dict[str, Any]) -> dict[str, Any]:
        try:
            return migration(document)
        except Exception as error:
            problem = f"its migration from version {version} failed ({type(error).__name__}: {error})."
            raise VersionMismatch(version, version + 1, problem) from error

    return named


def _after(history: History, migrated: Migrated) -> History:
    return History(
        checkpoints=migrated.checkpoints,
        waits=migrated.waits,
        partials=history.partials,
        inbox=history.inbox,
        messages=history.messages,
    )


def _left_to_others(slice: Slice, version: int, inbox: int) -> Suspended:
    """Give the run back for a while that grows with its age, so that a long wait leaves few lines."""
    claimed = slice.claimed
    age = (slice.now() - claimed.enqueued_at).total_seconds()
    seconds = min(LONGEST_SECONDS, max(SHORTEST_SECONDS, age / 10))
    message = f"Left for a worker whose code has version {claimed.code_version}; here it is {version}"
    line = Line(kind=StepKind.LOG, message=message, level=Level.WARN)
    slice.store.submit(Append(lease=claimed.lease, line=line))
    return Suspended(
        lease=claimed.lease,
        parked=False,
        wake_at=slice.now() + timedelta(seconds=seconds),
        reason=WakeReason.VERSION,
        inbox=inbox,
    )
