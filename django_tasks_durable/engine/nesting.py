"""Bodies inside bodies: the nested call, one after the other, and the gather, side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from django_tasks_durable.authoring.tasks import BoundTask
from django_tasks_durable.exceptions import (
    Drift,
    EndOfHistory,
    InvalidKey,
    NotSerializable,
    PayloadTooLarge,
    Suspend,
    SuspensionSwallowed,
    TaskTimeout,
)
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import CheckpointKind
from django_tasks_durable.primitives.writes import SaveCheckpoint

from . import records
from .bodies import Body, body_of, name_of
from .effects import Act, Advance, Broke, Durable, Emit, Ended, Together
from .frame import Frame, Pending
from .owing import settle
from .replay import Place, Replayed, ReplayedFailure

R = TypeVar("R")

# About the attempt, not the body that raised them: never remembered as its failure.
NOT_ITS_OWN = (Drift, SuspensionSwallowed, TaskTimeout)


def call(frame: Frame, callee: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Act[Any]:
    """Run a task inside this one; emit its partials and return its value, both remembered once it has ended."""
    fingerprint = codec.fingerprint(*_arguments(callee, args, kwargs))
    place = frame.begin("call", name_of(callee), fingerprint)
    try:
        decision = frame.decide(place, CheckpointKind.CALL)
    finally:
        frame.end()
    if isinstance(decision, Replayed | ReplayedFailure):
        yield from _visited(frame, place, callee, args, kwargs)
        return (yield from _again(frame, place, decision))
    nested = frame.nested(place)
    body = body_of(nested, callee, args, kwargs)
    try:
        value = yield from _recorded(frame, nested, place, body, fingerprint, forwards=True)
    except GeneratorExit:
        # The caller wants no more of it.
        body.close()
        raise
    finally:
        frame.left(nested)
    return value


def gather(frame: Frame, branches: Mapping[Any, Any], return_exceptions: bool) -> Act[dict[Any, Any]]:
    """Run branches side by side, each to its end or wait; return their values, or suspend once with all waits."""
    if not branches:
        return {}
    places = _take_places(frame, branches)
    try:
        settled: dict[Any, Ended | Broke] = {}
        acts: dict[Any, Act[Any]] = {}
        frames: dict[Any, Frame] = {}
        for name, callee in branches.items():
            place, fingerprint = places[name]
            decision = frame.decide(place, CheckpointKind.CALL)
            if isinstance(decision, Replayed | ReplayedFailure):
                yield from _visited(frame, place, callee)
                settled[name] = _settled_before(frame, place, decision)
                continue
            branch = frames[name] = frame.branch(place)
            acts[name] = _recorded(frame, branch, place, body_of(branch, callee), fingerprint, forwards=False)
        if acts:
            yield from settle(frame)
            ends = yield Together(tuple(acts.values()))
            settled.update(zip(acts, ends, strict=True))
        return _gathered(frame, {name: settled[name] for name in branches}, frames, return_exceptions)
    finally:
        frame.end()


def _take_places(frame: Frame, branches: Mapping[Any, Any]) -> dict[Any, tuple[Place, str]]:
    places: dict[Any, tuple[Place, str]] = {}
    for name, callee in branches.items():
        fingerprint = codec.fingerprint(*_arguments(callee, (), {}))
        if places:
            frame.end()
        places[name] = frame.begin("branch", branch_key(name), fingerprint), fingerprint
    return places


def branch_key(name: object) -> str:
    """Return the key of a branch; numbers do as names, too."""
    if isinstance(name, str):
        return name
    if isinstance(name, int) and not isinstance(name, bool):
        return str(name)
    raise InvalidKey(name, "a branch is named by a str or an int.")


def _gathered(
    frame: Frame, settled: Mapping[Any, Ended | Broke], frames: Mapping[Any, Frame], return_exceptions: bool
) -> dict[Any, Any]:
    broken = [end.error for end in settled.values() if isinstance(end, Broke)]
    # What ends the attempt, or is no exception at all, goes before everything else.
    for error in broken:
        if not isinstance(error, Exception | Suspend) or isinstance(error, NOT_ITS_OWN):
            raise error
    failures = [error for error in broken if isinstance(error, Exception)]
    if failures and not return_exceptions:
        first = failures[0]
        for error, path in list(frame.slice.failures):
            if any(error is failure for failure in failures[1:]):
                # Its siblings ride with the one that is raised: handled or not, they share its fate.
                frame.slice.remember(first, path)
        raise first
    pending: list[Pending] = [each for branch in frames.values() for each in branch.strand.pending]
    if pending:
        frame.slice.suspend(frame.strand, *pending)
    for error in broken:
        if isinstance(error, Suspend):
            raise error
    return {name: end.value if isinstance(end, Ended) else end.error for name, end in settled.items()}


def _recorded(frame: Frame, inner: Frame, place: Place, body: Body, fingerprint: str, *, forwards: bool) -> Act[Any]:
    """Run a body to its end and remember its value and partials, or its failure."""
    slice = frame.slice
    partials: list[str] = []
    thrown: Exception | None = None
    try:
        while True:
            if forwards:
                frame.scope.hold(place.path)
            try:
                turn = yield Advance(body, thrown)
            finally:
                if forwards:
                    frame.end()
            thrown = None
            if isinstance(turn, Ended):
                break
            suspended = inner.strand.suspended()
            if suspended is not None:
                raise SuspensionSwallowed(suspended.path)
            try:
                text, value = codec.round_trip(turn.value, where="partial", limit=slice.limit)
            except (NotSerializable, PayloadTooLarge) as error:
                thrown = error
                continue
            if forwards:
                partials.append(text)
                yield Emit(value)
        inner.finish()
        text, value = codec.round_trip(turn.value, where="result", limit=slice.limit)
    except NOT_ITS_OWN:
        raise
    except Exception as error:
        yield Durable(_failure(frame, place, fingerprint, error, partials))
        slice.remember(error, place.path)
        raise
    yield Durable(_success(frame, place, fingerprint, text, partials))
    return value


def _visited(
    frame: Frame, place: Place, callee: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
) -> Act[None]:
    """Rehearse a body that has ended, where the slice asks for it. What it told and how it ended is known already."""
    slice = frame.slice
    if not slice.enters_finished:
        return
    doom = slice.doom
    body = body_of(frame.branch(place), callee, args, kwargs or {})
    try:
        while not isinstance((yield Advance(body)), Ended):
            pass
    except (EndOfHistory, Exception):
        slice.doom = doom  # Its code may be another now, which is of no account to those around it.


def _success(frame: Frame, place: Place, fingerprint: str, text: str, partials: Sequence[str]) -> SaveCheckpoint:
    return records.saved(
        frame.slice.claimed.lease,
        place,
        CheckpointKind.CALL,
        f'{{"partials":[{",".join(partials)}],"value":{text}}}',
        fingerprint=fingerprint,
        line=records.step_line(place, records.key_of(place)),
    )


def _failure(frame: Frame, place: Place, fingerprint: str, error: Exception, partials: Sequence[str]) -> SaveCheckpoint:
    extras: dict[str, Any] = {"partials": [json.loads(codec.opened(text)) for text in partials]} if partials else {}
    if within := frame.slice.failed_with(error):
        extras["within"] = within
    return records.failed(
        frame.slice.claimed.lease, place, CheckpointKind.CALL, error, fingerprint=fingerprint, **extras
    )


def _again(frame: Frame, place: Place, decision: Replayed | ReplayedFailure) -> Act[Any]:
    """Emit what the call emitted and end as it ended."""
    if isinstance(decision, Replayed):
        remembered = codec.decode(decision.text)
        for partial in remembered["partials"]:
            yield Emit(partial)
        return remembered["value"]
    for partial in json.loads(codec.opened(decision.text)).get("partials", ()):
        yield Emit(codec.decode(json.dumps(partial)))
    raise _failed_before(frame, place, decision)


def _settled_before(frame: Frame, place: Place, decision: Replayed | ReplayedFailure) -> Ended | Broke:
    if isinstance(decision, Replayed):
        return Ended(codec.decode(decision.text)["value"])
    return Broke(_failed_before(frame, place, decision))


def _failed_before(frame: Frame, place: Place, decision: ReplayedFailure) -> Exception:
    """Give the error of a call that failed. What failed inside it with that error shares its fate again."""
    error = codec.decode_error(decision.text)
    for path in json.loads(codec.opened(decision.text)).get("within", ()):
        frame.slice.remember(error, path)
    return frame.slice.remember(error, place.path)


def _arguments(callee: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
    if isinstance(callee, BoundTask):
        return callee.args, callee.kwargs or {}
    return args, kwargs


def named(branches: Sequence[Any]) -> tuple[dict[Any, Any], bool]:
    """Read the branches of a gather; tell whether they have names of their own."""
    if len(branches) == 1 and isinstance(branches[0], Mapping):
        return dict(branches[0]), True
    if len(branches) == 1 and isinstance(branches[0], Iterable) and not callable(branches[0]):
        return dict(enumerate(branches[0])), False
    return dict(enumerate(branches)), False
