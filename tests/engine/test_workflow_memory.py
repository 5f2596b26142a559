"""The memory store passes the contract of class workflows."""

from __future__ import annotations

from uuid import UUID

import pytest

from .test_memory_store import MemoryHouse
from .workflow_contract import WorkflowStoreContract


class CommandedHouse(MemoryHouse):
    """Runs in memory whose states are changed from outside."""

    def command(self, run_id: UUID, state: str) -> None:
        with self.store.changing(run_id) as change:
            change.keep(state, [], wakes=False)


class TestMemoryStore(WorkflowStoreContract):
    """Every test of the contract, in memory."""

    @pytest.fixture
    def house(self) -> CommandedHouse:
        """An empty house."""
        return CommandedHouse()
