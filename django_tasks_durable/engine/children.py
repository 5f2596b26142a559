"""Children with runs of their own: started with their parent's checkpoint, joined when they have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar, overload
from uuid import UUID

from django_tasks_durable.authoring.keys import NO_KEYS
from django_tasks_durable.authoring.middleware import CHAINS
from django_tasks_durable.authoring.tasks import BoundTask, options_of
from django_tasks_durable.compat import Task
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import ChildCancelled, ChildFailed, Interrupted, NotSpawnable, RunNotFound
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.status import FINISHED, CheckpointKind, RunStatus
from django_tasks_durable.primitives.writes import Awaited, ChildRecord, ChildRun, SaveCheckpoint, Spawn
from django_tasks_durable.store import intake
from django_tasks_durable.store.admission import admitted

from . import drive, records
from .bodies import CURRENT, body_of
from .childstream import AsyncChildStream, ChildStream, stream
from .effects import Act, Advance, Broke, Call, Durable, Ended
from .frame import Frame, Pending
from .owing import settle
from .replay import Place, Replayed, ReplayedFailure

R = TypeVar("R")


class ChildHandle(Generic[R]):
    """A child with a run of its own, in the hands of its parent's code. A replay gives the same one."""

    __slots__ = ("_frame", "key", "run_id")

    def __init__(self, frame: Frame, key: str, run_id: UUID) -> None:
        self._frame = frame
        self.key = key
        self.run_id = run_id

    def __repr__(self) -> str:
        return f"<child {self.key!r}: run {self.run_id}>"

    @property
    def _here(self) -> Frame:
        """The body that is at work: it may be another one than the one that started the child."""
        return CURRENT.get() or self._frame

    @overload
    def join(self) -> R: ...
    @overload
    def join(self, *, return_exceptions: bool) -> R | Exception: ...
    def join(self, *, return_exceptions: bool = False) -> R | Exception:
        """Wait until the child has ended, with the slot free, and return its result. Raise ChildFailed or ChildCancelled."""
        frame = self._here
        ends: list[Any] = drive.run(frame.slice, join(frame, [self], return_exceptions))
        return ends[0]  # type: ignore[no-any-return]

    @overload
    async def ajoin(self) -> R: ...
    @overload
    async def ajoin(self, *, return_exceptions: bool) -> R | Exception: ...
    async def ajoin(self, *, return_exceptions: bool = False) -> R | Exception:
        """See join()."""
        frame = self._here
        ends: list[Any] = await drive.arun(frame.slice, join(frame, [self], return_exceptions))
        return ends[0]  # type: ignore[no-any-return]

    def stream(self, after: int = 0) -> ChildStream:
        """Iterate over what the child yields beyond a place in its timeline, each once; waits with the slot free."""
        frame = self._here
        return ChildStream(frame, stream(frame, self.key, self.run_id, after))

    def astream(self, after: int = 0) -> AsyncChildStream:
        """See stream(). Iterate with ``async for``."""
        frame = self._here
        return AsyncChildStream(frame, stream(frame, self.key, self.run_id, after))


def spawn(
    frame: Frame, callee: Any, args: Sequence[Any], kwargs: Mapping[str, Any], key: str | None, abandon: bool
) -> Act[ChildHandle[Any]]:
    """Start a child with a run of its own; its row and the checkpoint that tells its id are written together."""
    if isinstance(callee, BoundTask):
        callee, args, kwargs = callee.task, (*callee.args, *args), {**(callee.kwargs or {}), **kwargs}
    _expect_spawnable(frame, callee)
    key = callee.name if key is None else key
    place = frame.begin("spawn", key, codec.fingerprint(args, kwargs))
    try:
        decision = frame.decide(place, CheckpointKind.SPAWN)
        if isinstance(decision, Replayed):
            return ChildHandle(frame, key, UUID(codec.decode(decision.text)))
        # The middleware may use Django's connections, which are not to be used on an event loop.
        order = partial(_ordered, place, BoundTask(callee, tuple(args), kwargs), abandon)
        if CHAINS[callee.backend] is None:
            child = order(options_of(callee).metadata)
        else:
            given = (callee, ((args, kwargs),), order, _id_of)
            yield from settle(frame)
            child = yield Call(admitted, given, {"backend_alias": callee.backend})
        if frame.slice.is_inline:
            yield from _perform_at_once(frame, place, callee, args, kwargs, child.run_id)
        else:
            yield Durable(_birth(frame, place, child, codec.fingerprint(args, kwargs)))
        frame.slice.born.add(child.run_id)
        return ChildHandle(frame, key, child.run_id)
    finally:
        frame.end()


def _expect_spawnable(frame: Frame, callee: Any) -> None:
    if not isinstance(callee, Task):
        raise NotSpawnable(callee, "give a task, or task.bind(...). A plain function runs in context.gather().")
    if options_of(callee).keys != NO_KEYS:
        raise NotSpawnable(
            callee.module_path, "it has keys, and a child holds none: its parent starts it once as it is."
        )
    own, its = frame.slice.claimed.backend, callee.backend
    if frame.slice.is_inline or its == own:
        return
    if get_options(its).database != get_options(own).database:
        raise NotSpawnable(
            callee.module_path,
            f"its backend {its!r} keeps its runs in another database than {own!r}. Enqueue it in a step.",
        )


def _id_of(child: ChildRun) -> tuple[UUID]:
    return (child.run_id,)


def _ordered(place: Place, call: BoundTask[Any], abandon: bool, metadata: Mapping[str, Any]) -> ChildRun:
    task = call.task
    settings, options = get_options(task.backend), options_of(task)
    attempts, deliveries = intake.limits(options, settings)
    encoded = intake.encode_arguments(call.args, call.kwargs or {}, settings.max_payload_bytes)
    return ChildRun(
        run_id=new_id(),
        path=place.path,
        outlives_parent=abandon,
        task_path=task.module_path,
        backend=task.backend,
        queue_name=task.queue_name,
        priority=task.priority,
        run_after=task.run_after,
        args=encoded[0],
        kwargs=encoded[1],
        options=options.snapshot(),
        metadata=codec.encode(dict(metadata), where="metadata", limit=settings.max_payload_bytes),
        max_attempts=attempts,
        max_deliveries=deliveries,
        code_version=options.version,
    )


def _birth(frame: Frame, place: Place, child: ChildRun, fingerprint: str) -> Spawn:
    saved = records.saved(
        frame.slice.claimed.lease,
        place,
        CheckpointKind.SPAWN,
        codec.encode(str(child.run_id)),
        fingerprint=fingerprint,
    )
    line = records.step_line(place, f"{records.key_of(place)}: run {child.run_id}")
    return Spawn(lease=saved.lease, checkpoint=saved.checkpoint, child=child, line=line)


def _perform_at_once(
    frame: Frame, place: Place, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], run_id: UUID
) -> Act[None]:
    """Without a worker, run the child to its end on the spot; joins and streams find what it left."""
    nested = frame.nested(place)
    body = body_of(nested, task, args, kwargs)
    partials: list[tuple[int, str]] = []
    try:
        while not isinstance(turn := (yield Advance(body)), Ended):
            partials.append((len(partials) + 1, codec.encode(turn.value, where="partial")))
        record = ChildRecord(
            run_id=run_id, status=RunStatus.SUCCESSFUL, result=codec.encode(turn.value, where="result")
        )
    except Interrupted:
        raise
    except Exception as error:
        told = codec.error_record(error)
        record = ChildRecord(
            run_id=run_id,
            status=RunStatus.FAILED,
            exception_class_path=told.exception_class_path,
            message=told.message,
        )
    finally:
        frame.left(nested)
    frame.slice.done_at_once[run_id] = record, partials


# --- how a child ends


def join(frame: Frame, handles: Sequence[ChildHandle[Any]], return_exceptions: bool) -> Act[list[Any]]:
    """Return what the children return, or suspend once until all have ended. The first failure is raised when all have."""
    if not handles:
        return []
    places = _take_places(frame, handles)
    try:
        ends = [_end_of(frame, handle, place) for handle, place in zip(handles, places, strict=True)]
        if awaited := [handle.run_id for handle, end in zip(handles, ends, strict=True) if end is None]:
            frame.slice.suspend(
                frame.strand,
                Pending(path=places[0].path, wake_at=None, awaited=Awaited(children=tuple(dict.fromkeys(awaited)))),
            )
        saves = [end.save for end in ends if end is not None and end.save is not None]
        for save in saves:
            frame.slice.ends[UUID(save.checkpoint.fingerprint)] = save.checkpoint
        for save in saves[:-1]:
            frame.slice.store.submit(save)
        if saves:
            yield Durable(saves[-1])
        return _joined(frame, [end.end for end in ends if end is not None], places, return_exceptions)
    finally:
        frame.end()


def _take_places(frame: Frame, handles: Sequence[ChildHandle[Any]]) -> list[Place]:
    places: list[Place] = []
    for handle in handles:
        if places:
            frame.end()
        places.append(frame.begin("join", handle.key, handle.run_id.hex))
    return places


class _Told:
    """How a child ended, and the checkpoint that is to remember it if none does yet."""

    __slots__ = ("end", "save")

    def __init__(self, end: Ended | Broke, save: SaveCheckpoint | None = None) -> None:
        self.end = end
        self.save = save


def _end_of(frame: Frame, handle: ChildHandle[Any], place: Place) -> _Told | None:
    """Say how a child ended; None while it has not."""
    slice, run_id = frame.slice, handle.run_id
    decision = frame.decide(place, CheckpointKind.JOIN)
    if isinstance(decision, Replayed):
        return _Told(Ended(codec.decode(decision.text)))
    if isinstance(decision, ReplayedFailure):
        return _Told(Broke(codec.decode_error(decision.text)))
    before = slice.end_of(run_id)
    if before is not None:
        again = replace(before, path=place.path, position=place.position)
        end: Ended | Broke = (
            Broke(codec.decode_error(again.value)) if again.failed else Ended(codec.decode(again.value))
        )
        return _Told(end, SaveCheckpoint(lease=slice.claimed.lease, checkpoint=again))
    record = slice.child(run_id)
    if record is None and run_id in slice.born and not slice.is_inline:
        return None
    if record is not None and record.status not in FINISHED:
        return None
    if record is not None and record.status is RunStatus.SUCCESSFUL:
        save = records.saved(
            slice.claimed.lease, place, CheckpointKind.JOIN, record.result, fingerprint=run_id.hex,
            line=records.step_line(place, records.key_of(place)),
        )  # fmt: skip
        return _Told(Ended(codec.decode(record.result)), save)
    error = _error_of(run_id, record)
    return _Told(
        Broke(error),
        records.failed(slice.claimed.lease, place, CheckpointKind.JOIN, error, fingerprint=run_id.hex),
    )


def _error_of(run_id: UUID, record: ChildRecord | None) -> Exception:
    if record is None:
        return RunNotFound(run_id)
    if record.status is RunStatus.CANCELLED:
        return ChildCancelled(run_id)
    return ChildFailed(run_id, record.exception_class_path, record.message)


def _joined(frame: Frame, ends: Sequence[Ended | Broke], places: Sequence[Place], return_exceptions: bool) -> list[Any]:
    broken = [(end.error, place.path) for end, place in zip(ends, places, strict=True) if isinstance(end, Broke)]
    if broken and not return_exceptions:
        first = broken[0][0]
        for _, path in broken:
            # They are raised as one: handled or not, they share its fate.
            frame.slice.remember(first, path)
        raise first
    return [
        end.value if isinstance(end, Ended) else frame.slice.remember(end.error, place.path)
        for end, place in zip(ends, places, strict=True)
    ]
