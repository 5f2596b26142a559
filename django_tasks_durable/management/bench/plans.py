"""How the database means to find what a worker claims: the plan of each statement of one claim, which is taken back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from django_tasks_durable.compat import Task
from django_tasks_durable.primitives.ids import new_worker_id
from django_tasks_durable.store import claims, intake, workers
from django_tasks_durable.store.tables import RUNS
from django_tasks_durable.store.vendors import Session, session

CLAIMED = 100
LONGEST_WORDS = 70


class _TakenBack(Exception):
    """The claim was only for its plans."""


class _Explaining(Session):
    """A session that asks for the plan of each statement about runs before it runs it."""

    def __init__(self, plain: Session) -> None:
        super().__init__(plain.connection, is_private=plain.is_private)
        self.plans: list[str] = []

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, and keep its plan."""
        if RUNS in sql:
            rows = super().execute(f"{self.brand.explain} {sql}", parameters)
            words = " ".join(sql.split())
            self.plans += [f"{words[:LONGEST_WORDS]}…", *(f"  {line}" for line in _lines(rows))]
        return super().execute(sql, parameters)

    def execute_often(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See execute()."""
        return self.execute(sql, parameters)


def of_a_claim(task: Task[..., Any], *, using: str = "default") -> list[str]:
    """Enqueue a hundred runs and claim them, take all of it back, and return the statements about runs with their plans."""
    explaining = _Explaining(session(using))
    worker_id = new_worker_id("plans")
    with suppress(_TakenBack), explaining.transaction():
        # In one transaction with the claim, so that no worker sees them.
        intake.enqueue_many(task, [((), {})] * CLAIMED, using=using, backend_alias="default")
        workers.register(explaining, worker_id, queues=None, concurrency=1, lease_seconds=30)
        explaining.plans.clear()
        claims.claim(explaining, claims.Wanted(worker_id=worker_id, task_paths=[task.module_path]), limit=CLAIMED)
        raise _TakenBack
    return explaining.plans


def _lines(rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Write the rows of a plan, which are text in one column or a table of many."""
    for row in rows:
        yield "  ".join(str(cell) for cell in row if cell is not None) if len(row) > 1 else str(row[0])
