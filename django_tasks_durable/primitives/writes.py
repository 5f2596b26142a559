"""What an attempt may say about its run: facts, queued in order and committed behind the fence.

Values are JSON text made by ``codec``; instants come from the database's clock (see ``ClaimedRun.now_at``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from .lease import Lease
from .status import CheckpointKind, Level, RunStatus, StepKind, WakeReason

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the timeline, not yet numbered. ``data`` is JSON text or empty."""

    kind: StepKind
    message: str = ""
    level: Level = Level.INFO
    path: str = ""
    percent: float | None = None
    data: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRecord:
    """The answer that a primitive left behind under its path; never changed.

    ``value`` is JSON text: the value, or the encoded error when ``failed``. ``position`` is the primitive's place in the
    order of its scope; ``fingerprint`` tells its arguments apart. ``seconds`` is how long it took.
    """

    path: str
    kind: CheckpointKind
    position: int
    fingerprint: str = ""
    failed: bool = False
    value: str = "null"
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitRequest:
    """A question to open when the run suspends. ``request`` is JSON text."""

    path: str
    kind: str
    position: int
    token: str
    request: str
    fingerprint: str = ""
    permission: str = ""
    form: str = ""
    event: str = ""
    deadline: datetime | None = None
    has_default: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitRecord:
    """A question that was opened before. ``answer`` is JSON text, or None while nobody answered."""

    path: str
    kind: str
    position: int
    token: str
    request: str
    fingerprint: str = ""
    permission: str = ""
    form: str = ""
    event: str = ""
    deadline: datetime | None = None
    has_default: bool = False
    answer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRecord:
    """Something that was sent to the run and that it has not taken yet. ``payload`` is JSON text."""

    id: int
    name: str
    payload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRecord:
    """An exception as data: dotted class path, message, traceback text (cut), and the code of a DurableError."""

    exception_class_path: str
    message: str
    traceback: str
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRun:
    """A run to be put into the store as the child of another; texts are JSON. ``path`` is where its parent started it."""

    run_id: UUID
    path: str
    outlives_parent: bool
    task_path: str
    backend: str
    queue_name: str
    priority: int
    run_after: datetime | None
    args: str
    kwargs: str
    options: str
    metadata: str
    max_attempts: int
    max_deliveries: int
    code_version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRecord:
    """How a child stands: its result (JSON text) when it succeeded, the class path and message of its last error if it did not."""

    run_id: UUID
    status: RunStatus
    result: str = "null"
    exception_class_path: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """Children that a run waits for: the end of all of them, or (``after``) the first partial of one beyond a sequence."""

    children: tuple[UUID, ...]
    after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All that earlier slices of a run left behind, and how the children stand whose end it has not taken up yet.

    ``partials`` counts the partial results per scope. ``streamed`` holds, by the path of each stream of a child that has not
    ended, what the child has yielded beyond the place where the stream stands: sequence and JSON text.
    """

    checkpoints: Sequence[CheckpointRecord] = ()
    waits: Sequence[WaitRecord] = ()
    messages: Sequence[MessageRecord] = ()
    partials: Mapping[str, int] = field(default_factory=dict)
    children: Mapping[UUID, ChildRecord] = field(default_factory=dict)
    streamed: Mapping[str, Sequence[tuple[int, str]]] = field(default_factory=dict)
    inbox: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where a class workflow stands. ``state`` is JSON text, None while the initial state is still in the arguments.

    ``sequence`` is the number of the last line before the visit began; ``version`` rises with each change from outside.
    A run of a function has the empty stage, with visit 0.
    """

    state: str | None = None
    step: str = ""
    visit: int = 0
    sequence: int = 0
    version: int = 0

    @property
    def prefix(self) -> str:
        """What the paths of this visit begin with; empty for a function and before the first visit."""
        return f"{self.visit}:{self.step}/" if self.visit else ""


UNSTAGED = Stage()


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRecord:
    """What an attempt wants stored of its workflow: the state as JSON text (None: as it was), the step and the visit.

    It holds only while the run's state still has the version ``expected``; otherwise a command came in between.
    """

    state: str | None
    step: str
    visit: int
    expected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedRun:
    """A run in the hands of a worker: what an attempt needs to know of it.

    ``args``, ``kwargs`` and ``metadata`` are JSON text, ``options`` the options snapshotted at enqueue (JSON text).
    ``attempts`` counts the earlier attempts that ended in an exception. ``now_at`` is the database's clock at the claim
    and ``claimed_monotonic`` this process's monotonic clock at the same moment. ``last_sequence`` is the number of the last
    line of its timeline. ``holds_keys`` tells whether its end lets go of a name.
    ``is_limited`` tells whether others may wait for its place.
    """

    lease: Lease
    task_path: str
    backend: str
    queue_name: str
    priority: int
    args: str
    kwargs: str
    options: str
    attempts: int
    max_attempts: int
    crashes: int
    inbox: int
    enqueued_at: datetime
    run_after: datetime | None
    started_at: datetime | None
    now_at: datetime
    claimed_monotonic: float
    worker_ids: str
    errors: str
    last_sequence: int = 0
    worker_id: str = ""
    code_version: int = 1
    metadata: str = "{}"
    holds_keys: bool = False
    is_limited: bool = False
    parent_id: UUID | None = None
    stage: Stage = UNSTAGED

    @property
    def run_id(self) -> UUID:
        """The id of the run."""
        return self.lease.run_id

    @property
    def is_fresh(self) -> bool:
        """Whether this is the first claim ever and nothing was sent to the run, so that there is no history to read."""
        return self.lease.token == 1 and not self.inbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The body is about to be entered."""

    lease: Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveCheckpoint:
    """A primitive left its answer behind; ``line`` tells it in the timeline, ``consumes`` is the message it took."""

    lease: Lease
    checkpoint: CheckpointRecord
    line: Line | None = None
    consumes: int | None = None
    state: StateRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveState:
    """A class workflow enters a step. ``abandon`` names the questions of the visit it leaves that nobody has answered."""

    lease: Lease
    state: StateRecord
    line: Line | None = None
    abandon: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawn:
    """The run starts a child: its row is written together with the checkpoint that tells its id."""

    lease: Lease
    checkpoint: CheckpointRecord
    child: ChildRun
    line: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """One more line in the timeline: a log line or a partial result."""

    lease: Lease
    line: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """The history was led to another version of the code; it is written anew, in this order.

    Of the waits only paths and positions change; each is known by its token, and one that is not named is no longer there.
    """

    lease: Lease
    code_version: int
    checkpoints: tuple[CheckpointRecord, ...]
    waits: tuple[WaitRecord, ...]
    line: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class SetProgress:
    """How far the run is. None leaves a field as it is; ``meta`` is JSON text."""

    lease: Lease
    percent: float | None = None
    label: str | None = None
    meta: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The body ended with a value (JSON text)."""

    lease: Lease
    result: str
    state: StateRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The body ended with an exception.

    ``retry_at`` is when the next attempt is due, None to give up. ``forget`` names the failed checkpoints that the next
    attempt must not see (execution rule 6); their tries go with them.
    """

    lease: Lease
    error: ErrorRecord
    retry_at: datetime | None = None
    forget: tuple[str, ...] = ()
    state: StateRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """The body waits: the worker's slot is free until ``wake_at``, or until a message when that is None.

    ``parked`` tells WAITING (a message, a child or the deadline wakes it) from READY with a due time (sleep, poll, step retry).
    The suspension holds only while the run's inbox still is ``inbox`` and there is no news of the ``awaited`` children;
    otherwise the run is READY again at once. ``forget`` names the checkpoints that those of this suspension take the place of.
    ``unwinding`` says that the run is being undone already, so that a request to cancel it changes nothing.
    """

    lease: Lease
    parked: bool
    wake_at: datetime | None
    reason: WakeReason
    inbox: int
    waits: tuple[WaitRequest, ...] = ()
    checkpoints: tuple[CheckpointRecord, ...] = ()
    unwinding: bool = False
    awaited: tuple[Awaited, ...] = ()
    forget: tuple[str, ...] = ()
    state: StateRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The body ended because somebody asked the run to be cancelled."""

    lease: Lease
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The attempt is given back unharmed (shutdown, prefetch): no attempt is counted."""

    lease: Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The process that carried the attempt has died: a delivery is counted, and no attempt. ``error`` tells how it died."""

    lease: Lease
    error: ErrorRecord


Outcome = Succeeded | Failed | Suspended | Cancelled | Released | Lost
# The same for isinstance(), which is quicker with a tuple.
OUTCOMES: tuple[type[Outcome], ...] = (Succeeded, Failed, Suspended, Cancelled, Released, Lost)
Write = Started | SaveCheckpoint | SaveState | Spawn | Append | Migrated | SetProgress | Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a committed write came back with."""

    status: RunStatus
    cancel_requested: bool = False
    last_sequence: int = 0


class RunStore(Protocol):
    """Where an attempt reads its history and leaves its facts. One contract suite covers every implementation.

    Every write carries its lease; a write of a lost lease raises LeaseLost and nothing else of that attempt is written.
    The writes of one run are committed in the order in which they were handed over.
    """

    def history(self, claimed: ClaimedRun) -> History:
        """Read what earlier slices of this run left behind, in one look."""

    def submit(self, write: Write) -> None:
        """Hand over a write that nobody waits for. Never blocks, never raises LeaseLost."""

    def commit(self, write: Write) -> Future[Verdict]:
        """Hand over a write and get a future that is done once it is durable, or raises LeaseLost."""

    def keep(self, write: Write) -> Verdict:
        """Hand over a write and wait until it is durable. Raise LeaseLost."""

    def atomic(self, claimed: ClaimedRun, perform: AtomicBody[T]) -> T:
        """Run ``perform`` and commit its database writes together with the facts it returns, fence last.

        Rolls everything back when the fence refuses (LeaseLost) or ``perform`` raises; on a deadlock, a serialization
        failure or a lock timeout at the fence rolls back and calls ``perform`` again, at most three times.
        """


class AtomicBody(Protocol[T_co]):
    """The body of an atomic step: does the user's database writes, returns its value and the facts to commit with them."""

    def __call__(self) -> tuple[T_co, Sequence[SaveCheckpoint | Append | SetProgress]]:
        """Perform the step once, inside the transaction."""
