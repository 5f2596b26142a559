"""The memory store passes the contract of every run store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from django_tasks_durable.primitives.writes import ClaimedRun, RunStore
from django_tasks_durable.store.memory import MemoryStore
from django_tasks_durable.store.memory_run import MemoryRun

from .family_contract import FamilyContract
from .runstore_contract import RunStoreContract


class MemoryHouse:
    """Runs in memory."""

    child_path = "tests.engine.samples.add"

    def __init__(self) -> None:
        self.store = MemoryStore()

    def create(self, **options: Any) -> UUID:
        told = json.dumps(options, separators=(",", ":"))
        return self.store.create("tests.engine.samples.add", options=told)

    def claim(self, run_id: UUID) -> ClaimedRun | None:
        return self.store.claim(run_id)

    def store_of(self, claimed: ClaimedRun) -> RunStore:
        return self.store

    def take_over(self, run_id: UUID) -> None:
        self.store.lose(run_id)

    def answer(self, run_id: UUID, value: Any) -> None:
        self.store.resume(run_id, value)

    def send(self, run_id: UUID, name: str, payload: Any) -> None:
        self.store.send(run_id, name, payload)

    def cancel(self, run_id: UUID) -> None:
        self.store.cancel(run_id)

    def tend(self) -> None:
        """Nothing is left to do: the store in memory tells families at once."""

    def look(self, run_id: UUID) -> MemoryRun:
        return self.store.find(run_id)

    def lines(self, run_id: UUID) -> Sequence[tuple[str, str]]:
        return [(line.kind.value, line.message) for line in self.store.find(run_id).lines]


@pytest.mark.seed("TT-27")
class TestMemoryStore(RunStoreContract, FamilyContract):
    """Every test of the contract, in memory."""

    @pytest.fixture
    def house(self) -> MemoryHouse:
        """An empty house."""
        return MemoryHouse()
