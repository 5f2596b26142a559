"""What every executor offers to the worker."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Protocol

from django_tasks_durable import signals
from django_tasks_durable.engine.attempt import AttemptControl
from django_tasks_durable.primitives.writes import ClaimedRun, Outcome, RunStore, Verdict


class Carried(Protocol):
    """A claimed run on its way through an executor."""

    claimed: ClaimedRun
    control: AttemptControl

    @property
    def store(self) -> RunStore:
        """Where the attempt leaves its facts."""

    def begin(self) -> bool:
        """Take the run out of the prefetch; False when it was given back meanwhile."""

    def ended(self, ending: tuple[Outcome, Future[Verdict]] | None) -> None:
        """Say that the attempt's code has ended, with what it handed over (None when its lease was lost)."""


class Executor(Protocol):
    """Carries attempts. One contract suite covers every implementation."""

    slots: int

    def hand_over(self, batch: Iterable[Carried]) -> None:
        """Take claimed runs, in order. Never blocks."""

    def stop(self) -> None:
        """Take nothing more; what runs goes on to its own end or its control's reason."""


def announce_start(claimed: ClaimedRun) -> None:
    """Tell those who listen that a run's body is about to begin; a failing listener fails no task."""
    if signals.run_started.receivers:
        signals.run_started.send_robust(sender=None, claimed=claimed)
