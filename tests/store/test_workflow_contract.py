"""The database store passes the contract of class workflows."""

from __future__ import annotations

from uuid import UUID

import pytest

from django_tasks_durable.store import vendors, workflows
from tests.engine.workflow_contract import WorkflowStoreContract

from .test_contract import DatabaseHouse


class CommandedHouse(DatabaseHouse):
    """Runs in a database whose states are changed from outside."""

    def command(self, run_id: UUID, state: str) -> None:
        with workflows.changing(run_id, using="default") as change:
            change.keep(state, [], wakes=False)


class TestInlineStore(WorkflowStoreContract):
    """Every test of the contract, in a database."""

    @pytest.fixture
    def house(self, session: vendors.Session) -> CommandedHouse:
        """A database with a worker in it."""
        return CommandedHouse(session)
