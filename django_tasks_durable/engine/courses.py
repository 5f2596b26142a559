"""Which way a run goes through this process: begun by a call, gone on from an answer, or brought in with a snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from django_tasks_durable.authoring.driver import Answer, Place
from django_tasks_durable.authoring.streaming import RunOutcome, SliceResult
from django_tasks_durable.exceptions import RunNotFound, SnapshotMismatch
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.store.seats import Call, DrivenStore, Seat

from .course import Course, Task, driven
from .portable import export_snapshot, restore
from .portable.shapes import Shape

OutcomeAndState = tuple[RunOutcome[Any], dict[str, Any] | None]


def of_call(task: Task, args: Sequence[Any], kwargs: Mapping[str, Any], place: Place) -> Course:
    """Return the way of the run that a call begins, goes on with, or brings in with a snapshot."""
    store = driven(place.store, task)
    call = Call(task=task, args=args, kwargs=kwargs, name=place.run_id)
    opened = partial(store.begin, call) if place.snapshot is None else partial(_received, store, call, place.snapshot)
    return Course(opened, is_blocking=store.is_blocking)


def of_answer(task: Task, answer: Answer, *, is_asynchronous: bool = False) -> Course:
    """Give a run the answer that it waits for and return its way on.

    It is given at once, unless the store would block an event loop: then when the first item is asked for.
    """
    store = driven(answer.store, task)
    opened = partial(store.answer, answer.run_id, task.module_path, answer.value, answer.token, answer.path)
    course = Course(opened, is_blocking=store.is_blocking)
    if not (is_asynchronous and store.is_blocking):
        course.look()
    return course


def of_run(task: Task, run_id: str, store: Any) -> Course:
    """Return the way of a run that is in the store. Raises RunNotFound when it is opened and there is none of this task."""
    found = driven(store, task)
    return Course(partial(_found, found, task, run_id), is_blocking=found.is_blocking)


def outcome(course: Course, error: Exception | None = None) -> OutcomeAndState:
    """Tell how a run went, with its portable snapshot."""
    if not course.is_open:
        return refused(error)
    glance = course.look()
    return RunOutcome(
        status=glance.status.value,
        value=codec.decode(glance.result or "null") if glance.status is RunStatus.SUCCESSFUL else None,
        error=None if course.interrupted is error else error,
        interrupt=None if course.interrupted is None else course.interrupted.payload,
        token="" if course.interrupted is None else course.interrupted.token,
    ), export_snapshot(course.seat.take_out(), lossy=True)


def refused(error: Exception | None) -> OutcomeAndState:
    """Tell why there is no run."""
    return RunOutcome(status="", error=error), None


def after_slice(course: Course) -> SliceResult:
    """Tell how a run stands after a slice."""
    glance = course.look()
    wait: dict[str, Any] | None = None
    if glance.status is RunStatus.WAITING and glance.open_waits:
        first = glance.open_waits[0]
        wait = {
            "path": first.path,
            "token": first.token,
            "request": codec.decode(first.request),
            "due_at": first.deadline,
        }
    elif glance.seconds_left:
        wait = {"path": "", "token": "", "request": None, "due_at": glance.due_at}
    return SliceResult(glance.status.value, wait, course.error(glance))


def _found(store: DrivenStore, task: Task, run_id: str) -> Seat:
    seat = store.find_seat(run_id)
    if seat.look().task_path != task.module_path:
        raise RunNotFound(run_id)
    return seat


def _received(store: DrivenStore, call: Call, snapshot: Any) -> Seat:
    """Bring in the run of a snapshot. One of ours has its arguments in it, which the call may only repeat."""
    given = (list(call.args), dict(call.kwargs)) if call.args or call.kwargs else (None, None)
    restored = restore(snapshot, call.task, args=given[0], kwargs=given[1])
    if restored.snapshot.shape is Shape.RUN and given[0] is not None:
        told = codec.encode(given[0], where="args"), codec.encode(given[1], where="kwargs")
        if told != (restored.run.args, restored.run.kwargs):
            raise SnapshotMismatch("arguments", told, (restored.run.args, restored.run.kwargs))
    return store.receive(restored.run, call.name)
