"""Workflows that workers in processes of their own find."""

from __future__ import annotations

from dataclasses import dataclass, field

from django_tasks_durable import Workflow, command, transition


class Counting(Workflow, max_attempts=3):
    """Counts its visits, and how often somebody knocked."""

    @dataclass
    class State:
        """The counts."""

        left: int = 0
        seen: list[int] = field(default_factory=list)
        knocks: int = 0

    state: State

    @transition(to=["count", None], start=True)
    def count(self) -> str | None:
        """Count one visit."""
        self.step("keep", self._keep)
        return "count" if self.state.left else None

    def _keep(self) -> None:
        self.state.left -= 1
        self.state.seen.append(self.visit)

    @command
    def knock(self) -> int:
        """Knock."""
        self.state.knocks += 1
        return self.state.knocks


class ACounting(Counting):
    """Counts on an event loop."""

    @transition(to=["count", None], start=True)
    async def count(self) -> str | None:  # type: ignore[override]
        """Count one visit."""
        await self.astep("keep", self._keep)
        return "count" if self.state.left else None
