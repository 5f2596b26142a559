"""Where a body stands: its line of execution, its scope, and what it waits for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django_tasks_durable.exceptions import Drift, InsideAtomicStep, StepTimeout, Suspend, SuspensionSwallowed
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import CheckpointKind, WakeReason
from django_tasks_durable.primitives.writes import Append, Awaited, CheckpointRecord, SetProgress, WaitRequest

from .replay import Decision, Perform, Place, Scope

if TYPE_CHECKING:
    from .childstream import Cursor
    from .context import DurableContext
    from .slice import Slice


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What one line of execution waits for: a question, children, or an instant. ``has_default``: no answer will do, too."""

    path: str
    wake_at: datetime | None
    reason: WakeReason = WakeReason.NONE
    awaited: Awaited | None = None
    is_question: bool = False
    has_default: bool = False
    request: str = "null"
    token: str = ""
    wait: WaitRequest | None = None
    checkpoint: CheckpointRecord | None = None
    forget: tuple[str, ...] = ()


class Limit:
    """How long one try of a step may take."""

    __slots__ = ("_deadline", "path", "seconds")

    def __init__(self, path: str, seconds: float) -> None:
        self.path = path
        self.seconds = seconds
        self._deadline = clock.monotonic() + seconds

    @property
    def left(self) -> float:
        """The seconds that are left of it."""
        return max(0.0, self._deadline - clock.monotonic())

    def check(self) -> None:
        """Raise StepTimeout when it is reached."""
        if clock.monotonic() > self._deadline:
            raise StepTimeout(self.path, self.seconds)


class AtomicNotes:
    """The facts that an atomic step leaves besides its checkpoint; they are committed with it."""

    __slots__ = ("facts", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.facts: list[Append | SetProgress] = []


class Strand:
    """One line of execution: the body of the run with its nested calls, or a branch of a gather."""

    __slots__ = ("atomic", "limit", "parent", "pending", "suspend")

    def __init__(self, parent: Strand | None = None) -> None:
        self.parent = parent
        self.suspend: Suspend | None = None
        self.pending: list[Pending] = []
        self.atomic: AtomicNotes | None = None
        # That of the step that is under way, if it has one.
        self.limit: Limit | None = None

    def suspended(self) -> Suspend | None:
        """Return the suspension that this line of execution is in, its own or one around it."""
        strand: Strand | None = self
        while strand is not None:
            if strand.suspend is not None:
                return strand.suspend
            strand = strand.parent
        return None


class Frame:
    """Where a body stands: its slice, its line of execution and its scope."""

    __slots__ = ("_context", "_scope", "_under", "cursors", "finished", "path", "slice", "strand")

    def __init__(self, slice: Slice, strand: Strand, path: str) -> None:
        self.slice = slice
        self.strand = strand
        self.path = path
        # What finish() was given, in a tuple because None is a value.
        self.finished: tuple[Any] | None = None
        self._scope: Scope | None = None
        self._context: DurableContext | None = None
        self._under: list[Frame] = []
        # The children's streams that this body is iterating over.
        self.cursors: list[Cursor] = []

    @property
    def scope(self) -> Scope:
        """The order of this body's primitives."""
        if self._scope is None:
            with self.slice.lock:
                self._scope = self._scope or Scope(self.slice.replay, self.path)
        return self._scope

    @property
    def context(self) -> DurableContext:
        """What the author sees of all this."""
        if self._context is None:
            self._context = self.slice.make_context(self)
        return self._context

    @property
    def is_replaying(self) -> bool:
        """Whether an earlier slice has already told what this body would tell now."""
        return self.scope.is_replaying or any(frame.is_replaying for frame in self._under)

    @property
    def has_been_passed(self) -> bool:
        """Whether an earlier slice went on from here: to another primitive of this scope, or to another partial."""
        slice = self.slice
        return self.scope.is_replaying or slice.partials < slice.replay.partials.get("", 0)

    def begin(self, kind: str, key: str, fingerprint: str = "") -> Place:
        """Take the next place for a primitive. Raise what forbids it before anything is done."""
        self.check(f"{kind}:{key}")
        for cursor in self.cursors:
            cursor.remember()
        try:
            return self.scope.begin(kind, key, fingerprint)
        except Drift as drift:
            self.slice.doom = drift
            raise

    def decide(self, place: Place, kind: CheckpointKind) -> Decision:
        """Say what becomes of the primitive at this place."""
        try:
            decision = self.scope.decide(place, kind)
        except Drift as drift:
            self.slice.doom = drift
            raise
        self.slice.hear(self.strand, place, kind, decision)
        if isinstance(decision, Perform):
            self.slice.allowance.step(place.path)
        return decision

    def end(self) -> None:
        """Let the next primitive begin."""
        self.scope.end()

    def finish(self) -> None:
        """Hear that the body has returned. Raise SuspensionSwallowed or Drift when it must not have."""
        suspended = self.strand.suspended()
        if suspended is not None:
            raise SuspensionSwallowed(suspended.path)
        if self._scope is None:
            return
        try:
            self._scope.finish()
        except Drift as drift:
            self.slice.doom = drift
            raise

    def check(self, asked: str) -> None:
        """Raise what forbids any primitive here."""
        suspended = self.strand.suspended()
        if suspended is not None:
            raise suspended
        self.slice.check()
        if self.strand.atomic is not None:
            raise InsideAtomicStep(self.strand.atomic.path, asked)

    def nested(self, place: Place) -> Frame:
        """Return the frame of a body that this one waits for."""
        frame = Frame(self.slice, self.strand, f"{place.path}/")
        self._under.append(frame)
        return frame

    def left(self, frame: Frame) -> None:
        """Hear that a nested body has ended."""
        if frame in self._under:
            self._under.remove(frame)

    def branch(self, place: Place) -> Frame:
        """Return the frame of a body that runs beside others."""
        return Frame(self.slice, Strand(self.strand), f"{place.path}/")
