"""Django's signals about tasks, sent when a worker's attempt begins and when its run has ended."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.core.signals import setting_changed
from django.dispatch import Signal, receiver

from django_tasks_durable import signals as house
from django_tasks_durable.compat import (
    TASKS_LOGGER,
    BaseTaskBackend,
    InvalidTaskBackend,
    TaskResultStatus,
    is_only_logged,
    signals,
    task_backends,
)
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import FINISHED, RunStatus
from django_tasks_durable.primitives.writes import ClaimedRun, Failed, Outcome

from . import results
from .backend import DurableBackend

_log = logging.getLogger(TASKS_LOGGER)
_Handlers = tuple[tuple[logging.Handler, int], ...]


class AttemptFailed(Exception):
    """What the log of a failed run shows: the traceback of its last attempt, as it was recorded."""


@dataclass(frozen=True, slots=True)
class _Heading:
    """What the framework's log line needs of a result; a whole one would cost more than the line."""

    id: str
    module_path: str
    status: TaskResultStatus
    backend: str

    @property
    def task(self) -> _Heading:
        """What has the path."""
        return self


def listen() -> None:
    """Hear of attempts. Called once, when the app is ready."""
    house.run_started.connect(tell_started, dispatch_uid="django_tasks_durable.backend.started")
    house.run_ended.connect(tell_ended, dispatch_uid="django_tasks_durable.backend.ended")


def tell_started(claimed: ClaimedRun, **kwargs: Any) -> None:
    """Send Django's task_started."""
    framework = signals()
    task_started: Signal = framework.task_started
    if not task_started.receivers:
        return
    if not is_only_logged(task_started, framework.log_task_started):
        task_started.send(sender=_sender(claimed), task_result=results.of_claimed(claimed))
    elif _is_written(logging.INFO):
        task_started.send(sender=_sender(claimed), task_result=_heading(claimed, TaskResultStatus.RUNNING))


def tell_ended(claimed: ClaimedRun, outcome: Outcome, status: RunStatus, **kwargs: Any) -> None:
    """Send Django's task_finished, once the run has ended and that is durable.

    An attempt that will be retried is no end.
    """
    framework = signals()
    task_finished: Signal = framework.task_finished
    if status not in FINISHED or not task_finished.receivers:
        return
    told: Any
    if not is_only_logged(task_finished, framework.log_task_finished):
        told = results.of_claimed(claimed, outcome, status)
    elif _is_written(logging.INFO if status is RunStatus.SUCCESSFUL else logging.ERROR):
        told = _heading(claimed, results.django_status(status))
    else:
        return
    if isinstance(outcome, Failed):
        _send_with_exception(task_finished, _sender(claimed), told, outcome.error.traceback)
    else:
        task_finished.send(sender=_sender(claimed), task_result=told)


def _heading(claimed: ClaimedRun, status: TaskResultStatus) -> _Heading:
    return _Heading(str(claimed.run_id), claimed.task_path, status, claimed.backend)


def _send_with_exception(signal: Signal, sender: type, result: Any, traceback: str) -> None:
    """Send while an exception is being handled: Django's own receiver logs the one that it finds."""
    try:
        raise AttemptFailed(f"\n{traceback.rstrip()}")
    except AttemptFailed as error:
        # This frame says nothing about the task.
        error.__traceback__ = None
        signal.send(sender=sender, task_result=result)


def _is_written(level: int) -> bool:
    """Tell whether some handler would write a line of this level; its filters are asked anew every second.

    Django's own logging lets INFO through to handlers that drop it unless DEBUG is on.
    """
    if not _log.isEnabledFor(level):
        return False
    handlers, now = _handlers(), clock.monotonic()
    known = _written.get(level)
    # Another list of handlers is asked at once: a test's assertLogs() stands there for a moment only.
    if known is None or known.handlers != handlers or not known.asked_at <= now < known.asked_at + 1.0:
        known = _written[level] = _Written(handlers, now, _would_write(handlers, level))
    return known.is_written


def _handlers() -> _Handlers:
    """Return the handlers that a line of the framework reaches, each with its level."""
    found: list[tuple[logging.Handler, int]] = []
    logger: logging.Logger | None = _log
    while logger is not None:
        found += [(handler, handler.level) for handler in logger.handlers]
        logger = logger.parent if logger.propagate else None
    return tuple(found)


def _would_write(handlers: _Handlers, level: int) -> bool:
    # Where nobody has set up logging, the standard library writes warnings and worse.
    if not handlers:
        return level >= logging.WARNING
    record = logging.LogRecord(_log.name, level, __file__, 0, "", (), None)
    return any(level >= least and bool(handler.filter(record)) for handler, least in handlers)


@dataclass(frozen=True, slots=True)
class _Written:
    """What the handlers said when they were asked last."""

    handlers: _Handlers
    asked_at: float
    is_written: bool


_written: dict[int, _Written] = {}


def _sender(claimed: ClaimedRun) -> type[BaseTaskBackend]:
    return _backend_class(claimed.backend)


@lru_cache(maxsize=16)
def _backend_class(alias: str) -> type[BaseTaskBackend]:
    try:
        return type(task_backends[alias])
    except InvalidTaskBackend:
        return DurableBackend  # The alias is gone from the settings; its runs are not.


@receiver(setting_changed, dispatch_uid="django_tasks_durable.backend.news")
def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "TASKS":
        _backend_class.cache_clear()
