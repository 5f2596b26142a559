"""The database store passes the contract of every run store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from django_tasks_durable.models import Step
from django_tasks_durable.primitives.status import RunStatus, WakeReason
from django_tasks_durable.primitives.writes import ClaimedRun, RunStore
from django_tasks_durable.store import children, control, messages, vendors
from django_tasks_durable.store.inline import InlineStore
from tests.engine.family_contract import FamilyContract
from tests.engine.runstore_contract import RunStoreContract
from tests.store import acts


class SeenRow:
    """A run's row, in the words of the contract."""

    def __init__(self, run_id: UUID) -> None:
        row = acts.run(run_id)
        self.status = RunStatus(row.status)
        self.wake_reason = WakeReason(row.wake_reason)
        self.attempts = row.attempts
        self.result: str | None = row.result
        self.percent: float | None = row.progress_percent
        self.label = row.progress_label
        self.due_at: datetime | None = row.due_at
        self.inbox = row.inbox


class DatabaseHouse:
    """Runs in the test's database, each attempt with a store of its own on Django's connection."""

    child_path = "tests.probe.tasks.add"

    def __init__(self, session: vendors.Session) -> None:
        self.session = session
        acts.register(session)

    def create(self, **options: Any) -> UUID:
        return acts.enqueue(**options)

    def claim(self, run_id: UUID) -> ClaimedRun | None:
        while claimed := acts.claim(self.session, limit=1):
            if claimed[0].run_id == run_id:
                return claimed[0]
        return None

    def store_of(self, claimed: ClaimedRun) -> RunStore:
        return InlineStore(claimed, using="default", worker_id=acts.WORKER)

    def take_over(self, run_id: UUID) -> None:
        acts.lose_worker(self.session)

    def answer(self, run_id: UUID, value: Any) -> None:
        control.resume(run_id, value, using="default")

    def send(self, run_id: UUID, name: str, payload: Any) -> None:
        messages.send(run_id, name, payload, using="default")

    def cancel(self, run_id: UUID) -> None:
        control.cancel(run_id, using="default")

    def tend(self) -> None:
        children.tend(self.session)

    def look(self, run_id: UUID) -> SeenRow:
        return SeenRow(run_id)

    def lines(self, run_id: UUID) -> Sequence[tuple[str, str]]:
        return list(Step.objects.filter(run_id=run_id).order_by("sequence").values_list("kind", "message"))


class TestInlineStore(RunStoreContract, FamilyContract):
    """Every test of the contract, in a database."""

    @pytest.fixture
    def house(self, session: vendors.Session) -> DatabaseHouse:
        """A database with a worker in it."""
        return DatabaseHouse(session)
