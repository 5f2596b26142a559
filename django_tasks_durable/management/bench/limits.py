"""The yardsticks: what a database reaches by itself, with plain statements that do the same through its bare driver.

Every figure of a scene is judged by its ratio to one of these, taken in the same run. The tables hold only what the
work needs; the statements are the set-based, fenced ones that the store is built from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connections

from django_tasks_durable.primitives import clock

NAMES = (
    "insert_commits_per_s",
    "bulk_rows_per_s",
    "copied_rows_per_s",
    "claim_complete_b1_per_s",
    "claim_complete_b500_per_s",
    "step_commits_per_s",
    "steps_batched_per_s",
)
ROWS_PER_STATEMENT = 1000
ROWS_PER_COPY = 10_000
RUNS_PER_BATCH = 100
LEAST_SECONDS = 0.15
# PostgreSQL settles on one plan after five executions; the first ones are not what the database can do.
WARMING = 6
Held = Sequence[tuple[int, int]]


class Limits(ABC):
    """The yardsticks of one brand of database, each a rate per second over about ``seconds``."""

    vendor: str
    asked: Mapping[str, str]
    tables: tuple[str, ...]
    holding: tuple[str, ...]
    own_options: frozenset[str] = frozenset()

    def __init__(self, using: str, seconds: float) -> None:
        self.using = using
        self.seconds = max(seconds, LEAST_SECONDS)
        self.raw = self.open(connections[using])
        for statement in self.tables:
            self.run(statement)
        self._numbered = 0
        self.add_runs(RUNS_PER_BATCH)

    def measure(self, name: str) -> float:
        """Take one yardstick by its name."""
        match name:
            case "insert_commits_per_s":
                rate = self._repeat(self.insert, 1)
            case "bulk_rows_per_s":
                rate = self._repeat(lambda: self.bulk(ROWS_PER_STATEMENT), ROWS_PER_STATEMENT)
            case "copied_rows_per_s":
                rate = self._repeat(lambda: self.copy(ROWS_PER_COPY), ROWS_PER_COPY)
            case "claim_complete_b1_per_s":
                rate = self._claim_and_complete(1, expected=6_000)
            case "claim_complete_b500_per_s":
                rate = self._claim_and_complete(500, expected=60_000)
            case "step_commits_per_s":
                rate = self._repeat(lambda: self.steps([1]), 1)
            case "steps_batched_per_s":
                everyone = list(range(1, RUNS_PER_BATCH + 1))
                rate = self._repeat(lambda: self.steps(everyone), RUNS_PER_BATCH)
            case _:
                raise ValueError(f"There is no yardstick {name!r}; there are {', '.join(NAMES)}.")
        self.empty()
        return rate

    def facts(self) -> dict[str, str]:
        """Say which database this is and how durable its commits are."""
        return {"vendor": self.vendor, **{name: str(self._one_value(sql)) for name, sql in self.asked.items()}}

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Hold a snapshot of the database in another connection's transaction."""
        other = connections[self.using].copy()
        try:
            with other.cursor() as cursor:
                for statement in self.holding:
                    cursor.execute(statement)
            yield
        finally:
            other.close()

    def copy(self, rows: int) -> None:
        """Insert very many due rows in one transaction, in the quickest way that there is."""
        self.bulk(rows)

    def close(self) -> None:
        """Close the connection."""
        self.raw.close()

    def next_sequence(self) -> int:
        """Number the steps where the row cannot give the number back."""
        self._numbered += 1
        return self._numbered

    def _repeat(self, work: Callable[[], object], weight: int) -> float:
        for _ in range(WARMING):
            work()
        done, begun = 0, clock.monotonic()
        while (elapsed := clock.monotonic() - begun) < self.seconds or not done:
            work()
            done += weight
        return done / max(elapsed, 1e-9)

    def _claim_and_complete(self, batch: int, *, expected: int) -> float:
        """Claim and complete until the time is over or the rows are used up."""
        rows = batch * (WARMING + 2) + int(expected * self.seconds)
        for start in range(0, rows, ROWS_PER_STATEMENT):
            self.bulk(min(ROWS_PER_STATEMENT, rows - start))
        self.settle()
        for _ in range(WARMING):
            self.complete(self.claim(batch))
        done, elapsed, begun = 0, 0.0, clock.monotonic()
        while (elapsed < self.seconds or not done) and (held := self.claim(batch)):
            self.complete(held)
            done += len(held)
            elapsed = clock.monotonic() - begun
        return done / max(elapsed, 1e-9)

    def _one_value(self, sql: str) -> Any:
        return self.run(sql).fetchone()[0]

    # --- what differs from brand to brand

    def open(self, django: Any) -> Any:
        """Open the bare driver's connection, committing statement by statement."""
        parameters = {
            key: value for key, value in django.get_connection_params().items() if key not in self.own_options
        }
        return django.Database.connect(**parameters)

    @abstractmethod
    def settle(self) -> None:
        """Make the rows that were just filled in fit to be measured."""

    @abstractmethod
    def run(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Run one statement."""

    @abstractmethod
    def insert(self) -> None:
        """Insert one due row in a transaction of its own."""

    @abstractmethod
    def bulk(self, rows: int) -> None:
        """Insert many due rows in one transaction."""

    @abstractmethod
    def claim(self, batch: int) -> Held:
        """Claim due rows in one transaction, never waiting for a lock; return each id with its fence."""

    @abstractmethod
    def complete(self, held: Held) -> None:
        """Complete claimed rows in one transaction, each behind its fence."""

    @abstractmethod
    def add_runs(self, count: int) -> None:
        """Add the runs, numbered from 1 with fence 1, that steps belong to."""

    @abstractmethod
    def steps(self, runs: Sequence[int]) -> None:
        """Insert one step for each run in one transaction: lock the run by its fence, number the step by it, insert."""

    @abstractmethod
    def empty(self) -> None:
        """Take away what was measured with, but for the runs."""
