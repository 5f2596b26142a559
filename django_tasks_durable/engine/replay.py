"""What a run's history says about each primitive that its code asks for. Pure: no clock, no store, no user code.

A primitive is known by its path: the path of its scope, then ``kind:key``, then ``#n`` for the n-th use of that key in
the scope. A nested call and a branch of a gather are scopes of their own, under their own path.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django_tasks_durable.exceptions import ConcurrentScope, Drift, InvalidKey
from django_tasks_durable.primitives.marks import POLLED, SEEN, TRY
from django_tasks_durable.primitives.status import CheckpointKind
from django_tasks_durable.primitives.undone import is_about_undoing
from django_tasks_durable.primitives.writes import CheckpointRecord, ChildRecord, History, MessageRecord, WaitRecord

from .order import Order

# Kinds that may leave something under their path before they have come to their end.
ON_THE_WAY = frozenset({CheckpointKind.TRY, CheckpointKind.STREAM, CheckpointKind.POLL})
PATH_LENGTH = 400
# Room for the numbered tries that a step may leave behind under its path.
SUFFIX_LENGTH = 12
_LOOKS_NUMBERED = re.compile(r"#\d+$")
_ON_THE_WAY = re.compile(r"!(?:try|seen|poll):\d+$")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a primitive stands: its path, and its place in the order of its scope."""

    scope: str
    path: str
    position: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """It was done before. ``text`` is the JSON text of its value."""

    text: str


@dataclass(frozen=True, slots=True)
class ReplayedFailure:
    """It failed before and the body went on from there. ``text`` is the JSON text of its error."""

    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """Its question has been answered, and the answer not yet been taken up."""

    wait: WaitRecord
    text: str


@dataclass(frozen=True, slots=True)
class MustWait:
    """Its question was put before and nobody has answered."""

    wait: WaitRecord


@dataclass(frozen=True, slots=True)
class Perform:
    """It has never been done to its end. ``tries`` are the earlier tries that failed, oldest first."""

    tries: tuple[CheckpointRecord, ...] = ()


# A patch has no place in the order of its scope: histories of before and after it are of one order.
UNORDERED = frozenset({CheckpointKind.PATCH, CheckpointKind.UNDO})
# That a step can be undone does not make it another primitive.
SAME_AS = {CheckpointKind.UNDOABLE: CheckpointKind.STEP}

Decision = Replayed | ReplayedFailure | Answered | MustWait | Perform
PERFORM = Perform()


class Replay:
    """The history of a run, asked by path."""

    __slots__ = (
        "_checkpoints", "_joins", "_latest", "_orders", "_waits", "children", "inbox", "is_ordered", "messages",
        "partials", "streamed",
    )  # fmt: skip

    def __init__(self, history: History, *, is_ordered: bool = True) -> None:
        # In a workflow the keys are the identity: its live state may well have changed since.
        self.is_ordered = is_ordered
        self._checkpoints = {record.path: record for record in history.checkpoints}
        self._waits = {record.path: record for record in history.waits}
        self.partials = history.partials
        self.children: Mapping[UUID, ChildRecord] = history.children
        self.streamed = history.streamed
        self.inbox = history.inbox
        self.messages: dict[str, deque[MessageRecord]] = defaultdict(deque)
        for message in history.messages:
            self.messages[message.name].append(message)
        self._orders: dict[str, Order] = {}
        self._latest: dict[str, CheckpointRecord] = {}
        self._joins: dict[str, CheckpointRecord] = {}
        self._index(record for record in history.checkpoints if _has_order(record))
        self._index(wait for wait in history.waits if wait.path not in self._checkpoints)

    def _index(self, records: Iterable[CheckpointRecord | WaitRecord]) -> None:
        orders = self._orders
        for record in records:
            path = record.path
            is_on_the_way = record.kind in ON_THE_WAY and _ON_THE_WAY.search(path) is not None
            if is_on_the_way:
                path = path.rpartition("!")[0]
                self._latest[path] = record  # type: ignore[assignment]  # a question leaves nothing on its way
            elif record.kind == CheckpointKind.JOIN:
                self._joins[record.fingerprint] = record  # type: ignore[assignment]
            scope, slash, _ = path.rpartition("/")
            order = orders.get(scope + slash)
            if order is None:
                order = orders[scope + slash] = Order()
                self._index_ancestors(scope)
            order.heads.add(path)
            if not is_on_the_way:
                order.add(record.position, path, record.fingerprint)

    def _index_ancestors(self, path: str) -> None:
        """A record inside a nested call shows that its callers had come as far as the call."""
        while path:
            scope, slash, _ = path.rpartition("/")
            self._orders.setdefault(scope + slash, Order()).heads.add(path)
            path = scope

    def has(self, path: str) -> bool:
        """Tell whether there is a checkpoint at this path."""
        return path in self._checkpoints

    def measured(self) -> tuple[int, int]:
        """Return the number of checkpoints and questions, and how many bytes the values take."""
        return len(self._checkpoints.keys() | self._waits.keys()), sum(
            len(record.value) for record in self._checkpoints.values()
        )

    @property
    def has_undoable(self) -> bool:
        """Whether a step was done that can be undone."""
        return any(record.kind is CheckpointKind.UNDOABLE for record in self._checkpoints.values())

    def order(self, scope: str) -> Order:
        """Return the order of one scope."""
        return self._orders.get(scope) or Order()

    def decide(self, path: str, kind: CheckpointKind) -> Decision | None:
        """Say what becomes of the primitive at this path; None when the history holds another kind there."""
        record = self._checkpoints.get(path)
        if record is not None:
            if SAME_AS.get(record.kind, record.kind) != kind:
                return None
            return ReplayedFailure(record.value) if record.failed else Replayed(record.value)
        wait = self._waits.get(path)
        if wait is not None:
            if kind != CheckpointKind.WAIT:
                return None
            return MustWait(wait) if wait.answer is None else Answered(wait, wait.answer)
        if kind in (CheckpointKind.STEP, CheckpointKind.UNDO):
            tries = self.along(path, TRY)
            if tries:
                return Perform(tries)
        return PERFORM

    def along(self, path: str, mark: str) -> tuple[CheckpointRecord, ...]:
        """Return what a primitive left on the way to its end, oldest first."""
        found: list[CheckpointRecord] = []
        while (record := self._checkpoints.get(f"{path}{mark}{len(found) + 1}")) is not None:
            found.append(record)
        return tuple(found)

    def latest(self, path: str) -> CheckpointRecord | None:
        """Return what a primitive last left on the way to its end."""
        return self._latest.get(path)

    def end_of(self, run_id: UUID) -> CheckpointRecord | None:
        """Return what an earlier join of this child left."""
        return self._joins.get(run_id.hex)

    def open_questions(self, prefix: str) -> list[str]:
        """Return the paths under a prefix at which a question was put that nobody has answered."""
        return [
            path
            for path, wait in self._waits.items()
            if wait.answer is None and path.startswith(prefix) and path not in self._checkpoints
        ]

    def kind_at(self, path: str) -> str:
        """Tell what the history holds at a path, for a message."""
        record = self._checkpoints.get(path) or self._waits.get(path)
        return f"{path} ({record.kind})" if record is not None else path


def _has_order(record: CheckpointRecord) -> bool:
    is_undo = record.kind is CheckpointKind.TRY and is_about_undoing(record.path)
    return record.kind not in UNORDERED and not is_undo


class Scope:
    """One order of primitives: the body of a run, of a nested call, or of a branch of a gather."""

    __slots__ = ("_heads", "_lock", "_order", "_uses", "busy", "path", "position", "replay")

    def __init__(self, replay: Replay, path: str = "") -> None:
        self.replay = replay
        self.path = path
        self.position = 0
        self.busy = ""
        self._uses: dict[str, int] = {}
        self._lock = threading.Lock()
        self._order = replay.order(path)
        self._heads = len(self._order.heads)

    @property
    def is_replaying(self) -> bool:
        """Whether earlier slices came further in this scope than this one has come yet."""
        return self._heads > 0

    def begin(self, kind: str, key: str, fingerprint: str = "") -> Place:
        """Keep others out and take the next place. Call end() when the primitive is through.

        Raise InvalidKey, ConcurrentScope when another primitive is under way (on any thread), or Drift when the history
        has something else at this place.
        """
        name, path = self._next_path(kind, key)
        self.hold(path)
        try:
            self._compare(path, fingerprint)
        except BaseException:
            self.end()
            raise
        place = Place(self.path, path, self.position)
        self.position += 1
        self._uses[name] = self._uses.get(name, 0) + 1
        if path in self._order.heads:
            self._heads -= 1
        return place

    def beside(self, kind: str, key: str) -> Place:
        """Return the place of what has a path in this scope, but no place in its order. Raise InvalidKey."""
        _check_key(key)
        return Place(self.path, self._fitting(f"{self.path}{kind}:{key}", key), self.position)

    def skip_to(self, position: int) -> None:
        """Pass over the primitives before this position: the body does not ask for them again."""
        for path in self._order.paths(self.position, position):
            name, _, number = path.rpartition("#") if _LOOKS_NUMBERED.search(path) else (path, "", "1")
            self._uses[name] = max(self._uses.get(name, 0), int(number))
            self._heads -= path in self._order.heads
        self.position = max(self.position, position)

    def hold(self, asked: str) -> None:
        """Keep others out. Raise ConcurrentScope when a primitive is under way."""
        if not self._lock.acquire(blocking=False):
            raise ConcurrentScope(self.busy, asked)
        self.busy = asked

    def end(self) -> None:
        """Let others in."""
        self.busy = ""
        self._lock.release()

    def next_path(self, kind: str, key: str) -> str:
        """Return the path that the next primitive of this kind and key will have."""
        return self._next_path(kind, key)[1]

    def _next_path(self, kind: str, key: str) -> tuple[str, str]:
        _check_key(key)
        name = f"{self.path}{kind}:{key}"
        uses = self._uses.get(name, 0) + 1
        path = name if uses == 1 else f"{name}#{uses}"
        return name, self._fitting(path, key)

    @staticmethod
    def _fitting(path: str, key: str) -> str:
        most = PATH_LENGTH - SUFFIX_LENGTH
        if len(path) > most:
            raise InvalidKey(key, f"its path {path[:60]}… has {len(path)} characters, {most} is the most.")
        return path

    def _compare(self, path: str, fingerprint: str) -> None:
        compared = self._compared()
        if self.position >= len(compared):
            return
        expected, arguments = compared[self.position]
        if expected != path:
            raise self._drift(expected, path)
        # One side without a fingerprint is an uncached step, whose arguments may be others each time.
        if arguments != fingerprint and arguments and fingerprint:
            raise self._drift(f"{expected} (arguments {arguments[:8]})", f"{path} (arguments {fingerprint[:8]})")

    def _drift(self, expected: str, found: str) -> Drift:
        return Drift(self.path, self.position, expected, found, self._order.around(self.position, len(self.path)))

    def _compared(self) -> Sequence[tuple[str, str]]:
        return self._order.compared if self.replay.is_ordered else ()

    def decide(self, place: Place, kind: CheckpointKind) -> Decision:
        """Say what becomes of the primitive at this place. Raise Drift when the history has another kind there."""
        decision = self.replay.decide(place.path, kind)
        if decision is None:
            raise Drift(place.scope, place.position, self.replay.kind_at(place.path), f"{place.path} ({kind})")
        return decision

    def finish(self) -> None:
        """Hear that the body has returned. Raise Drift when the history went on from here."""
        compared = self._compared()
        if self.position < len(compared):
            raise self._drift(compared[self.position][0], "the end")


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise InvalidKey(key, f"it is of type {type(key).__name__}, not a str.")
    if not key:
        raise InvalidKey(key, "it is empty.")
    if "/" in key:
        raise InvalidKey(key, "it contains '/', which parts the scopes of a path.")
    if not key.isprintable():
        raise InvalidKey(key, "it contains a character that cannot be printed.")
    if ("#" in key and _LOOKS_NUMBERED.search(key)) or (
        "!" in key and any(mark in key for mark in (TRY, SEEN, POLLED))
    ):
        raise InvalidKey(key, "'#' with a number at its end, and '!try:', are what the engine adds to paths.")
