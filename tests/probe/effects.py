"""Rows written through a task's own connection: they share the fate of the surrounding transaction."""

from __future__ import annotations

from uuid import UUID

from tests.probe.models import Effect


def record(name: str, run_id: UUID | None = None, *, attempt: int = 0, value: str = "") -> None:
    """Write a row through this thread's own connection."""
    Effect.objects.create(name=name, run_id=run_id, attempt=attempt, value=value)


def times(name: str, run_id: UUID | None = None) -> int:
    """Count how often a row was written and kept."""
    deeds = Effect.objects.filter(name=name)
    return (deeds if run_id is None else deeds.filter(run_id=run_id)).count()
