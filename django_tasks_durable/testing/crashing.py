"""A worker that dies where a test says, and another that takes over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from django_tasks_durable.primitives.writes import (
    Append,
    AtomicBody,
    ClaimedRun,
    SaveCheckpoint,
    SetProgress,
    Spawn,
    Verdict,
    Write,
)
from django_tasks_durable.store.inline import InlineStore

T = TypeVar("T")


class Crashed(BaseException):
    """The worker is gone: what it had not committed is lost."""


@dataclass(eq=False)
class Plan:
    """Where a worker is to die, and how often yet."""

    key: str
    is_committed: bool
    times: int

    def is_for(self, write: Write) -> bool:
        """Tell whether this is the checkpoint of the place."""
        return (
            self.times > 0
            and isinstance(write, SaveCheckpoint | Spawn)
            and self.key in (write.checkpoint.path, write.checkpoint.path.rpartition(":")[2])
        )


_plans: list[Plan] = []


@contextmanager
def crash_at(key: str, *, committed: bool = False, times: int = 1) -> Iterator[None]:
    """Let the worker of ``drain()`` die at a step, as by SIGKILL; another takes the run over and goes on.

    ``key`` is the step's, or its whole path in the timeline. It dies when the step's function has returned and nothing of
    it is stored; with ``committed``, right after its checkpoint. ``times`` is how often: a run that is lost three times in a
    row at one place fails. Raise AssertionError at the end when no run came there so often.
    """
    plan = Plan(key, committed, times)
    _plans.append(plan)
    try:
        yield
    finally:
        _plans.remove(plan)
    if plan.times:
        raise AssertionError(
            f"No run came to {key!r} again: the worker should have died there {plan.times} more time(s)."
        )


class MortalStore(InlineStore):
    """The store of an attempt whose worker dies where ``crash_at()`` says."""

    _is_dead = False

    def submit(self, write: Write) -> None:
        """See RunStore.submit()."""
        self._expect_life()
        super().submit(write)

    def commit(self, write: Write) -> Future[Verdict]:
        """See RunStore.commit()."""
        self._expect_life()
        plan = next((plan for plan in _plans if plan.is_for(write)), None)
        if plan is not None and not plan.is_committed:
            # What was handed over before is durable by now, as it is with a worker's writer.
            self.flush()
            self._die(plan)
        done = super().commit(write)
        if plan is not None:
            self._die(plan)
        return done

    def atomic(self, claimed: ClaimedRun, perform: AtomicBody[T]) -> T:
        """See RunStore.atomic()."""
        self._expect_life()
        plan: Plan | None = None

        def performed() -> tuple[T, Sequence[SaveCheckpoint | Append | SetProgress]]:
            nonlocal plan
            value, facts = perform()
            plan = next((plan for plan in _plans if any(plan.is_for(fact) for fact in facts)), None)
            if plan is not None and not plan.is_committed:
                self._die(plan)
            return value, facts

        value = super().atomic(claimed, performed)
        if plan is not None:
            self._die(plan)
        return value

    def _expect_life(self) -> None:
        if self._is_dead:
            raise Crashed

    def _die(self, plan: Plan) -> None:
        plan.times -= 1
        self._is_dead = True
        raise Crashed
