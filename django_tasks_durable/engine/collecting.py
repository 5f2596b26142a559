"""The steps of the runs that some code drives, gathered as they become durable."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeGuard
from uuid import UUID

from .records import key_of
from .replay import Place
from .slice import Slice

logger = logging.getLogger("django_tasks_durable.engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCompleted:
    """A step has done its work, which is durable now. A step that was only remembered is none.

    ``seconds`` is how long its last try took, to the commit.
    """

    run_id: UUID
    path: str
    key: str
    value: Any
    seconds: float = 0.0


Listener = Callable[[StepCompleted], object]


@dataclass(slots=True)
class Collector:
    """What was gathered: each step in order, and the values of the steps of bodies by key."""

    events: list[StepCompleted] = field(default_factory=list)
    steps: dict[str, Any] = field(default_factory=dict)

    def snapshot(self) -> dict[str, Any]:
        """Return the steps as a snapshot that ``snapshot=`` takes."""
        from .portable import snapshot_of  # it stands on what gathers here

        return snapshot_of(self.steps)


_OPEN: ContextVar[tuple[tuple[Collector | None, Listener | None], ...]] = ContextVar("durable_collectors", default=())


@contextmanager
def collector(on_step: Listener | None = None) -> Iterator[Collector]:
    """Gather the steps of all runs that are driven in this block, and call ``on_step`` with each.

    What a listener raises is logged, and fails no run.
    """
    gathered = Collector()
    token = _OPEN.set((*_OPEN.get(), (gathered, on_step)))
    try:
        yield gathered
    finally:
        _OPEN.reset(token)


@contextmanager
def listening(on_step: Listener) -> Iterator[None]:
    """Call ``on_step`` with each step of the runs that are driven in this block, and gather none."""
    token = _OPEN.set((*_OPEN.get(), (None, on_step)))
    try:
        yield
    finally:
        _OPEN.reset(token)


def is_step_completed(event: object) -> TypeGuard[StepCompleted]:
    """Tell whether an event is that of a finished step."""
    return isinstance(event, StepCompleted)


def tell(slice: Slice, place: Place, value: Any, seconds: float) -> None:
    """Tell those who gather here that a step is done."""
    for gathered, on_step in _OPEN.get():
        event = StepCompleted(
            run_id=slice.claimed.run_id, path=place.path, key=key_of(place), value=value, seconds=seconds
        )
        if gathered is not None:
            gathered.events.append(event)
            if not place.scope:
                gathered.steps[event.key] = value
        if on_step is not None:
            _call(on_step, event)


def _call(listener: Listener, event: StepCompleted) -> None:
    try:
        listener(event)
    except Exception:
        logger.exception("A listener failed at the step %s of run %s", event.path, event.run_id)
