"""From a snapshot back to a run: ours whole, awaitly's by its steps."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django_tasks_durable.authoring.registry import migrations_of
from django_tasks_durable.authoring.tasks import get_task, options_of
from django_tasks_durable.compat import Task
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import InvalidKey, SnapshotFormat, SnapshotMismatch, VersionMismatch
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.portable import PortableRun
from django_tasks_durable.primitives.status import CheckpointKind
from django_tasks_durable.primitives.writes import CheckpointRecord, History
from django_tasks_durable.store import memory_transfers, transfers
from django_tasks_durable.store.memory import MemoryStore

from ..replay import Replay, Scope
from . import causes, reading
from .migrations import Migration, migrate, with_version
from .shapes import LOWEST_VERSION, Shape, Snapshot, as_workflow, pairs_of, path_of
from .validation import assert_valid_snapshot

# Steps of another program's history are found by their key. Their order proves nothing here, where what was not kept there
# has places of its own: so theirs lie beyond all places that a body reaches, and are not compared.
UNORDERED = 1_000_000_000
PENDING = ("PENDING_APPROVAL", "PENDING_HOOK")

Source = object | Callable[[], object]


@dataclass(frozen=True, slots=True)
class Restored:
    """A run that was read from a snapshot and is in no store yet. ``remarks`` says what is not as it was."""

    run: PortableRun
    snapshot: Snapshot
    remarks: tuple[str, ...] = ()

    @property
    def history(self) -> History:
        """What the next slice of the run will find."""
        return self.run.history

    def into_memory(self, store: MemoryStore, *, name: str | None = None) -> UUID:
        """Put the run into a store of this process and return its id. Raise RunExists for a name that is taken."""
        return memory_transfers.bring_in(store, self.run, name=name)

    def into_database(self, *, using: str | None = None, run_id: UUID | None = None, by: str = "") -> UUID:
        """Put the run into the database, in the caller's transaction, and return its id.

        It is a run of its own; to move one, give its old ``run_id``, so that ``context.idempotency_key`` stays what it was.
        Raise RunExists when there is a run of that id.
        """
        alias = using or get_options(self.run.backend).database
        return transfers.bring_in(self.run, using=alias, run_id=run_id, by=by)


def restore(
    source: Source,
    task: Task[..., Any] | None = None,
    *,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    workflow: str | None = None,
    definition: str | None = None,
    known_steps: Iterable[str] | None = None,
    version: int | None = None,
    migrations: Mapping[int, Migration] | None = None,
    on_version_mismatch: str | Migration = "raise",
) -> Restored:
    """Read a snapshot of any shape, as JSON text, as what that gives, or as a function that returns it.

    A snapshot of awaitly's says nothing of the task here, so ``task`` must, and ``args`` may; its input is the first argument
    otherwise. ``workflow``, ``definition`` and ``known_steps`` are compared with what the snapshot says, where given.

    A snapshot of an older ``version`` than the code (the task's by default) is led up by ``migrations`` (the task's by
    default). When that cannot be, ``on_version_mismatch`` decides:
    ``"raise"`` raises VersionMismatch, ``"clear"`` keeps the arguments and begins anew, a function returns the snapshot as
    this version would have left it. Raise SnapshotFormat, SnapshotMismatch, SnapshotDecode, PayloadTooLarge or UnknownTask.
    """
    found = source() if callable(source) else source
    if inspect.isawaitable(found):
        if inspect.iscoroutine(found):
            found.close()
        raise TypeError("The source of this snapshot is a coroutine function: use arestore().")
    original = assert_valid_snapshot(found)
    _expect_workflow(original, task, workflow, definition)
    task = get_task(_task_path(original)) if original.shape is Shape.RUN else task
    version = _version_here(task) if version is None else version
    known = migrations_of(task.module_path) if migrations is None and task is not None else migrations
    snapshot, is_cleared = _at_version(original, version, known or {}, on_version_mismatch)
    if known_steps is not None:
        named = set(known_steps)
        if unknown := [key for key in snapshot.steps if not (key in named or key.removeprefix("step:") in named)]:
            raise SnapshotMismatch("steps", sorted(named), unknown)
    if snapshot.shape is Shape.RUN:
        assert task is not None, "a snapshot of ours says which task it is of"
        run, remarks = reading.run_of(snapshot, task)
    else:
        run, remarks = _foreign(snapshot, task, args, kwargs)
    if is_cleared:
        run = _cleared(run)
        remarks = (*remarks, f"it is of version {original.version}, not {version}: it begins anew")
    return Restored(run, snapshot, (*original.remarks, *remarks))


async def arestore(source: Source | Callable[[], Awaitable[object]], *args: Any, **options: Any) -> Restored:
    """See restore(). The source may be a coroutine function."""
    found = source() if callable(source) else source
    return restore(await found if inspect.isawaitable(found) else found, *args, **options)


def _expect_workflow(
    snapshot: Snapshot, task: Task[..., Any] | None, workflow: str | None, definition: str | None
) -> None:
    if snapshot.shape is Shape.RUN:
        if task is not None and task.module_path != _task_path(snapshot):
            raise SnapshotMismatch("task", task.module_path, _task_path(snapshot))
    elif task is None:
        raise TypeError("This snapshot does not say which task it is of: give it, as restore(snapshot, task).")
    if workflow is not None and snapshot.workflow and snapshot.workflow != workflow:
        raise SnapshotMismatch("workflow", workflow, snapshot.workflow)
    told = snapshot.metadata.get("definitionHash")
    if definition is not None and told is not None and told != definition:
        raise SnapshotMismatch("definition", definition, told)


def _task_path(snapshot: Snapshot) -> str:
    return str(snapshot.document["durable"]["task_path"])


def _at_version(
    snapshot: Snapshot, version: int, migrations: Mapping[int, Migration], on_mismatch: str | Migration
) -> tuple[Snapshot, bool]:
    if snapshot.version == version:
        return snapshot, False
    if not callable(on_mismatch) and on_mismatch not in ("raise", "clear"):
        raise ValueError(f"on_version_mismatch={on_mismatch!r}: give 'raise', 'clear' or a function.")
    try:
        document = migrate(snapshot.document, migrations, to=version)
    except VersionMismatch:
        if callable(on_mismatch):
            document = with_version(on_mismatch(as_workflow(snapshot.document)), version)
        elif on_mismatch == "clear":
            return snapshot, True
        else:
            raise
    # A migration is a user's code, and what it leaves is looked at like any other snapshot.
    return assert_valid_snapshot(document), False


def _version_here(task: Task[..., Any] | None) -> int:
    return LOWEST_VERSION if task is None else options_of(task).version


def _cleared(run: PortableRun) -> PortableRun:
    return PortableRun(
        task_path=run.task_path,
        args=run.args,
        kwargs=run.kwargs,
        options=run.options,
        metadata=run.metadata,
        backend=run.backend,
        queue_name=run.queue_name,
        priority=run.priority,
        max_attempts=run.max_attempts,
        max_deliveries=run.max_deliveries,
        code_version=run.code_version,
    )


def _foreign(
    snapshot: Snapshot, task: Task[..., Any] | None, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None
) -> tuple[PortableRun, tuple[str, ...]]:
    """Make a run of a task with the steps of another program."""
    assert task is not None, "a snapshot without a task was refused before"
    limit = get_options(task.backend).max_payload_bytes
    if args is None and kwargs is None and "input" in snapshot.metadata:
        args = [snapshot.metadata["input"]]
    run = replace(
        _new_run(task),
        args=codec.encode(list(args or ()), where="args", limit=limit),
        kwargs=codec.encode(dict(kwargs or {}), where="kwargs", limit=limit),
    )
    remarks: list[str] = []
    pairs = pairs_of(snapshot.document)
    checkpoints: list[CheckpointRecord] = []
    problems: list[str] = []
    for place, (key, result) in enumerate(pairs):
        if problem := _problem_with(key):
            problems.append(f'$.steps["{key}"]: {problem} Lead it to another one with rename_key().')
        elif _is_to_be_tried_again(result, is_last=place == len(pairs) - 1, status=snapshot.status):
            remarks.append(f"{key!r} had failed and nothing followed: it will be tried again")
        else:
            checkpoints.append(_checkpoint(key, result, UNORDERED + place, limit))
    if problems:
        raise SnapshotFormat(problems)
    return replace(run, checkpoints=tuple(checkpoints)), tuple(remarks)


def _new_run(task: Task[..., Any]) -> PortableRun:
    options, settings = options_of(task), get_options(task.backend)
    max_attempts = options.max_attempts or settings.max_attempts
    return PortableRun(
        task_path=task.module_path,
        code_version=options.version,
        options=options.snapshot(),
        metadata=codec.encode(dict(options.metadata)),
        backend=task.backend,
        queue_name=task.queue_name,
        priority=task.priority,
        max_attempts=max_attempts,
        max_deliveries=options.max_deliveries or settings.max_deliveries or max(3, max_attempts),
    )


def _problem_with(key: str) -> str:
    """Say why no step of a body can have this key; empty when one can."""
    try:
        Scope(Replay(History())).begin("step", key)
    except InvalidKey as error:
        return str(error)
    return ""


def _is_to_be_tried_again(result: Mapping[str, Any], *, is_last: bool, status: str) -> bool:
    """Tell a failure that ended its run, or that only says that somebody is waited for, from one that was gone on from."""
    if result["ok"]:
        return False
    error = result["error"]
    is_pending = isinstance(error, Mapping) and error.get("type") in PENDING
    return is_pending or (is_last and status != "completed")


def _checkpoint(key: str, result: Mapping[str, Any], position: int, limit: int) -> CheckpointRecord:
    failed = not result["ok"]
    text = (
        codec.seal(causes.stored(result))
        if failed
        else codec.encode(result["value"], where=f'$.steps["{key}"].value', limit=limit)
    )
    return CheckpointRecord(path=path_of(key), kind=CheckpointKind.STEP, position=position, failed=failed, value=text)
