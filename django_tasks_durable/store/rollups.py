"""How many runs began and ended in each minute and hour: counted from the timelines, some time after they were written.

Nobody who runs a task pays for it. Lines are counted in the order of their ids; a cursor says how far, and moves in the
transaction that writes the counts, so that each line counts once whoever counts.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django_tasks_durable.primitives.spans import PER_DOUBLING, SHORTEST_SECONDS, Grain
from django_tasks_durable.primitives.status import StepKind

from .tables import ROLLUP_CURSOR, ROLLUPS, RUNS, STEPS
from .vendors import Session

BITE = 20_000
# Ids are given before a commit shows their lines. What commits later than this after its instant is not counted.
SETTLED_SECONDS = 20.0
KEPT = {Grain.MINUTE: timedelta(days=2), Grain.HOUR: timedelta(days=90)}
FORGOTTEN_AT_ONCE = 2000
MOST_FAILURES = 20
OTHERS = "(others)"

COUNTS = ("started", "succeeded", "failed", "cancelled", "retried", "stale")
COUNTED = {StepKind(name): name for name in COUNTS}
_KINDS = ", ".join(f"'{kind.value}'" for kind in sorted(COUNTED))
_COLUMNS = f"{', '.join(COUNTS)}, waits, waited_seconds, durations, took_seconds, failures"
_CLASS_PATH = re.compile(r"[\w.<>]+(?=: )")


class Span(NamedTuple):
    """What one row counts."""

    grain: Grain
    begins_at: datetime
    task_path: str
    queue_name: str


class Kind(NamedTuple):
    """What one row counts of all runs."""

    task_path: str
    queue_name: str


@dataclass(slots=True)
class Tally:
    """The counts of one span."""

    counts: Counter[str] = field(default_factory=Counter)
    waits: Counter[int] = field(default_factory=Counter)
    waited_seconds: float = 0.0
    durations: Counter[int] = field(default_factory=Counter)
    took_seconds: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, row: Sequence[Any]) -> Tally:
        """Read the columns of a row."""
        *counts, waits, waited, durations, took, failures = row
        return cls(
            Counter(dict(zip(COUNTS, counts, strict=True))), _histogram(waits), waited, _histogram(durations), took,
            Counter(json.loads(failures)),
        )  # fmt: skip

    def add(self, other: Tally) -> None:
        """Count what another one counts, too."""
        self.counts.update(other.counts)
        self.waits.update(other.waits)
        self.durations.update(other.durations)
        self.failures.update(other.failures)
        self.waited_seconds += other.waited_seconds
        self.took_seconds += other.took_seconds

    def count(self, kind: StepKind, bucket: int | None, number: int, seconds: float) -> None:
        """Count lines of one kind that took so long in all."""
        self.counts[COUNTED[kind]] += number
        if bucket is None:
            return
        if kind is StepKind.STARTED:
            self.waits[bucket] += number
            self.waited_seconds += seconds
        else:
            self.durations[bucket] += number
            self.took_seconds += seconds

    @property
    def values(self) -> tuple[Any, ...]:
        """The columns of a row."""
        return (
            *(self.counts[name] for name in COUNTS),
            json.dumps(self.waits), self.waited_seconds, json.dumps(self.durations), self.took_seconds,
            json.dumps(_most(self.failures)),
        )  # fmt: skip


def _histogram(text: str) -> Counter[int]:
    return Counter({int(bucket): number for bucket, number in json.loads(text).items()})


def _most(failures: Counter[str]) -> dict[str, int]:
    """Keep the most frequent names, and one for what is beyond them."""
    named = Counter({name: number for name, number in failures.items() if name != OTHERS})
    kept = dict(named.most_common(MOST_FAILURES))
    others = failures.total() - sum(kept.values())
    return kept | ({OTHERS: others} if others else {})


def roll(session: Session, *, settled: float = SETTLED_SECONDS) -> bool:
    """Count the next 20,000 lines that are older than ``settled`` seconds; tell whether there may be more.

    Any number of workers may call it at once: who comes second finds the cursor moved, and writes nothing.
    """
    floor = _floor(session)
    ceiling, is_full = _ceiling(session, floor, settled)
    if ceiling is None:
        return False
    tallies = _tallies(session, floor, ceiling)
    with session.transaction():
        moved = session.change(
            f"UPDATE {ROLLUP_CURSOR} SET step_id = %s WHERE id = 1 AND step_id = %s", (ceiling, floor)
        )
        if not moved:
            return False
        _write(session, tallies)
    return is_full


def add_untold(session: Session, started: Mapping[Kind, int], succeeded: Mapping[Kind, int]) -> None:
    """Count runs of just now whose timelines do not tell that they began, or ended well; how long they took is not known."""
    _floor(session)
    tallies: dict[Span, Tally] = {}
    minute = session.now_at().replace(second=0, microsecond=0)
    for kind, number in started.items():
        for tally in _at(tallies, minute, *kind):
            tally.counts.update(started=number, succeeded=succeeded.get(kind, 0))
    with session.transaction():
        # Whoever writes counts holds the cursor's row, so that none is lost between reading and writing it.
        session.change(f"UPDATE {ROLLUP_CURSOR} SET step_id = step_id WHERE id = 1")
        _write(session, tallies)


def forget(session: Session) -> int:
    """Delete what no chart reaches back to, up to 2,000 rows, and return how many."""
    forgotten = 0
    for grain, kept in KEPT.items():
        before = session.moment(session.now_at() - kept)
        old = session.execute(
            f"SELECT id FROM {ROLLUPS} WHERE grain = %s AND begins_at < %s LIMIT {FORGOTTEN_AT_ONCE // len(KEPT)}",
            (grain.value, before),
        )
        if old:
            marks = ", ".join(["%s"] * len(old))
            forgotten += session.change(f"DELETE FROM {ROLLUPS} WHERE id IN ({marks})", [row[0] for row in old])
    return forgotten


def uncounted(session: Session, run_ids: Collection[UUID]) -> set[UUID]:
    """Tell which runs have an end that will be counted, but has not been yet; none while nobody counts at all."""
    if not run_ids:
        return set()
    rows = session.execute(
        f"SELECT DISTINCT run_id FROM {STEPS} WHERE run_id IN ({', '.join(['%s'] * len(run_ids))}) "
        f"AND kind IN ({_KINDS}) AND id > (SELECT step_id FROM {ROLLUP_CURSOR} WHERE id = 1)",
        [session.uuid(run_id) for run_id in run_ids],
    )
    return {session.as_uuid(run_id) for (run_id,) in rows}


def _floor(session: Session) -> int:
    rows = session.execute(f"SELECT step_id FROM {ROLLUP_CURSOR} WHERE id = 1")
    if not rows:
        with session.transaction():
            session.insert_unless_there(ROLLUP_CURSOR, "id, step_id", "%s, %s", (1, 0))
        return 0
    return int(rows[0][0])


def _ceiling(session: Session, floor: int, settled: float) -> tuple[int | None, bool]:
    """Return the last line to count now, if there is one, and whether the bite was full."""
    is_settled = f"created_at <= {session.brand.plus_seconds(session.now)}"
    ((ceiling, looked_at),) = session.execute(
        f"SELECT MAX(CASE WHEN {is_settled} THEN id END), COUNT(*) FROM "
        f"(SELECT id, created_at FROM {STEPS} WHERE id > %s ORDER BY id LIMIT {BITE}) AS bite",
        (-settled, floor),
    )
    return ceiling, looked_at == BITE


def _tallies(session: Session, floor: int, ceiling: int) -> dict[Span, Tally]:
    tallies: dict[Span, Tally] = {}
    for minute, task_path, queue_name, kind, bucket, number, seconds in _counted(session, floor, ceiling):
        for tally in _at(tallies, session.instant(minute), task_path, queue_name):
            tally.count(StepKind(kind), None if bucket is None else int(bucket), number, float(seconds))
    for minute, task_path, queue_name, message, code, number in _failed(session, floor, ceiling):
        found = _CLASS_PATH.match(message)
        for tally in _at(tallies, session.instant(minute), task_path, queue_name):
            tally.failures[found[0] if found else code or OTHERS] += number
    return tallies


def _at(tallies: dict[Span, Tally], minute: datetime, task_path: str, queue_name: str) -> Iterator[Tally]:
    for grain, begins_at in ((Grain.MINUTE, minute), (Grain.HOUR, minute.replace(minute=0))):
        yield tallies.setdefault(Span(grain, begins_at, task_path, queue_name), Tally())


def _counted(session: Session, floor: int, ceiling: int) -> list[tuple[Any, ...]]:
    """Count lines in the database. Of the starts of a run only its first counts; what it waited for is over with it."""
    brand = session.brand
    due = "CASE WHEN r.run_after > r.enqueued_at THEN r.run_after ELSE r.enqueued_at END"
    seconds = (
        f"CASE WHEN s.kind = 'started' THEN {brand.seconds_between(due, 's.created_at')} "
        f"WHEN s.kind IN ('succeeded', 'failed') THEN {brand.seconds_between('r.started_at', 's.created_at')} END"
    )
    return session.execute(
        "SELECT minute, task_path, queue_name, kind, "
        f"CASE WHEN seconds <= {SHORTEST_SECONDS} THEN 0 "
        f"WHEN seconds IS NOT NULL THEN FLOOR({PER_DOUBLING} * LN(seconds / {SHORTEST_SECONDS}) / LN(2)) END AS bucket, "
        "COUNT(*), SUM(CASE WHEN seconds > 0 THEN seconds ELSE 0 END) FROM ("
        f"SELECT {brand.minute_of('s.created_at')} AS minute, r.task_path, r.queue_name, s.kind, {seconds} AS seconds "
        f"FROM {STEPS} s JOIN {RUNS} r ON r.id = s.run_id WHERE s.id > %s AND s.id <= %s AND s.kind IN ({_KINDS}) "
        "AND (s.kind <> 'started' OR s.created_at = r.started_at)) AS told GROUP BY 1, 2, 3, 4, 5",
        (floor, ceiling),
    )


def _failed(session: Session, floor: int, ceiling: int) -> list[tuple[Any, ...]]:
    """Count failures by the first words of what is said of them, which begin with the exception's class."""
    return session.execute(
        f"SELECT {session.brand.minute_of('s.created_at')}, r.task_path, r.queue_name, SUBSTR(s.message, 1, 200), "
        f"r.error_code, COUNT(*) FROM {STEPS} s JOIN {RUNS} r ON r.id = s.run_id "
        "WHERE s.id > %s AND s.id <= %s AND s.kind = 'failed' GROUP BY 1, 2, 3, 4, 5",
        (floor, ceiling),
    )


def _write(session: Session, tallies: Mapping[Span, Tally]) -> None:
    """Add counts to the rows that there are, under the cursor's lock, and make the others."""
    known = _known(session, {(span.grain, span.begins_at) for span in tallies})
    for span, tally in tallies.items():
        if span in known:
            tally.add(known[span][1])
    assignments = ", ".join(f"{column} = %s" for column in _COLUMNS.split(", "))
    session.execute_many(
        f"UPDATE {ROLLUPS} SET {assignments} WHERE id = %s",
        [(*tally.values, known[span][0]) for span, tally in tallies.items() if span in known],
    )
    session.execute_many(
        f"INSERT INTO {ROLLUPS} (grain, begins_at, task_path, queue_name, {_COLUMNS}) "
        f"VALUES ({', '.join(['%s'] * (4 + len(_COLUMNS.split(', '))))})",
        [
            (span.grain.value, session.moment(span.begins_at), span.task_path, span.queue_name, *tally.values)
            for span, tally in tallies.items()
            if span not in known
        ],
    )


def _known(session: Session, wanted: Iterable[tuple[Grain, datetime]]) -> dict[Span, tuple[int, Tally]]:
    found: dict[Span, tuple[int, Tally]] = {}
    for grain, begins_at in wanted:
        rows = session.execute(
            f"SELECT id, task_path, queue_name, {_COLUMNS} FROM {ROLLUPS} WHERE grain = %s AND begins_at = %s",
            (grain.value, session.moment(begins_at)),
        )
        for row_id, task_path, queue_name, *columns in rows:
            found[Span(grain, begins_at, task_path, queue_name)] = row_id, Tally.read(columns)
    return found
