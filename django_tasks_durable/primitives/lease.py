"""The right to write."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right of one attempt to write to its run.

    ``token`` is the counter stored in the run's row: it only grows, so a lease that was taken over never matches again.
    """

    run_id: UUID
    token: int
