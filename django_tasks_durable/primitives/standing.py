"""A class workflow as it is seen, and changed, from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from .status import RunStatus
from .writes import Line, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a workflow stands. ``kwargs`` is the JSON text of its arguments, which hold the state until it begins."""

    run_id: UUID
    task_path: str
    status: RunStatus
    kwargs: str
    stage: Stage


class StateChange(Protocol):
    """One change of a workflow's state from outside, under the lock of its run."""

    standing: Standing

    def keep(self, state: str | None, lines: Sequence[Line], *, wakes: bool) -> None:
        """Store the state (JSON text; None when it is as it was) and lines, and make a resting run due if it ``wakes``."""
