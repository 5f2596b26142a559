"""How an attempt ended: what a body returned or raised, told as the outcome of its run."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, assert_never

from django_tasks_durable.authoring.backoff import Backoff
from django_tasks_durable.authoring.options import BackoffLike
from django_tasks_durable.authoring.tasks import options_of
from django_tasks_durable.exceptions import (
    ControlFlow,
    Drift,
    DurableError,
    LeaseLost,
    NonRetryable,
    RunCancelled,
    RunTooLong,
    ShuttingDown,
    Suspend,
    SuspensionSwallowed,
    TaskTimeout,
    UnknownTask,
    VersionMismatch,
)
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.writes import (
    Cancelled,
    ErrorRecord,
    Failed,
    Outcome,
    Released,
    Succeeded,
)

from . import delays
from .slice import Slice

logger = logging.getLogger("django_tasks_durable.engine")

# Trying again would end the same way.
HOPELESS = (NonRetryable, Drift, RunTooLong, SuspensionSwallowed, UnknownTask, VersionMismatch)


def of_value(slice: Slice, value: Any) -> Outcome:
    """Make the outcome of a body that has returned. Raise what makes it none."""
    if slice.was_stopped and slice.control.reason is not None:
        raise slice.control.reason
    if slice.doom is not None:
        raise slice.doom
    slice.root.finish()
    result = codec.encode(value, where="result", limit=slice.limit)
    return slice.dressed(Succeeded(lease=slice.claimed.lease, result=result))


def of_error(slice: Slice, error: BaseException) -> Outcome | None:
    """Make the outcome of a body that has raised; None when the lease is lost. Never raises."""
    try:
        return _told(slice, error)
    except Exception as second:
        # A run must never stay RUNNING because its end cannot be told.
        _log(logging.CRITICAL, "Run %s: its end cannot be told", slice.claimed.run_id, error=second)
        return Failed(lease=slice.claimed.lease, error=_error_record(error))


def _told(slice: Slice, error: BaseException) -> Outcome | None:
    lease = slice.claimed.lease
    match _flow_of(slice, error):
        case LeaseLost():
            logger.warning(
                "%s, run %s: another worker has taken it over, so nothing more of this attempt is written",
                slice.claimed.task_path,
                slice.claimed.run_id,
                extra=_facts(slice),
            )
            return None
        case RunCancelled():
            return Cancelled(lease=lease)
        case Suspend():
            return _suspended(slice)
        case ShuttingDown() | ControlFlow():
            return Released(lease=lease)
        case None:
            pass
        case other:
            assert_never(other)
    if isinstance(error, KeyboardInterrupt) and _is_from_a_terminal():
        slice.interrupted = error
        return Released(lease=lease)
    return _fail(slice, slice.doom or error)


def _is_from_a_terminal() -> bool:
    """Tell whether a KeyboardInterrupt on this thread can be meant for the process rather than be the task's own."""
    return threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) not in (
        signal.SIG_IGN,
        signal.SIG_DFL,
    )


def _suspended(slice: Slice) -> Outcome:
    try:
        return slice.dressed(slice.suspension())
    except DurableError as problem:  # a workflow's state that cannot be stored
        return _fail(slice, problem)


# --- how a failure is told


def _flow_of(slice: Slice, error: BaseException) -> ControlFlow | None:
    """Find what stopped the body from outside or suspended it; None when the error is the body's own."""
    if slice.was_stopped and slice.control.reason is not None:
        return slice.control.reason
    leaves = list(_leaves(error))
    if slice.control.reason is not None and all(isinstance(leaf, asyncio.CancelledError) for leaf in leaves):
        return slice.control.reason
    if slice.was_cancelled and all(isinstance(leaf, asyncio.CancelledError) for leaf in leaves):
        return ShuttingDown()
    flows = [leaf for leaf in leaves if isinstance(leaf, ControlFlow)]
    if slice.doom is not None or not all(isinstance(leaf, ControlFlow | asyncio.CancelledError) for leaf in leaves):
        # One that failed beside others that wait: the failure is what has to be told.
        return None
    for kind in (LeaseLost, RunCancelled, ShuttingDown):
        for flow in flows:
            if isinstance(flow, kind):
                return flow
    return flows[0] if flows and slice.strand.suspend is not None else None


def _leaves(error: BaseException) -> Sequence[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for each in error.exceptions for leaf in _leaves(each)]


def _fail(slice: Slice, error: BaseException) -> Failed:
    if isinstance(error, asyncio.CancelledError) and slice.has_timed_out:
        error = TaskTimeout(slice.timeout or 0.0)
    slice.error = error
    retry_at = _retry_at(slice, error)
    claimed = slice.claimed
    _log(
        logging.ERROR if retry_at is None else logging.WARNING,
        "%s, run %s: attempt %d of %d failed%s",
        claimed.task_path,
        claimed.run_id,
        slice.attempt,
        claimed.max_attempts,
        "" if retry_at is None else f", the next is due at {retry_at.isoformat(timespec='seconds')}",
        error=error,
        extra=_facts(slice),
    )
    failed = Failed(lease=claimed.lease, error=_error_record(error), retry_at=retry_at, forget=slice.failed_with(error))
    return slice.dressed(failed)


def _log(level: int, message: str, *args: object, error: BaseException, extra: dict[str, object] | None = None) -> None:
    try:
        logger.log(level, message, *args, exc_info=error, extra=extra)
    except Exception:
        pass  # A handler that fails (mail, disk) must not decide what becomes of the run.


def _facts(slice: Slice) -> dict[str, object]:
    """Return what a line about this attempt carries for machines. See logs.RunFilter."""
    claimed = slice.claimed
    return {"run_id": str(claimed.run_id), "task_path": claimed.task_path, "attempt": slice.attempt}


def _error_record(error: BaseException) -> ErrorRecord:
    try:
        return codec.error_record(error)
    except Exception:
        kind = type(error)
        return ErrorRecord(
            exception_class_path=f"{kind.__module__}.{kind.__qualname__}",
            message="The error cannot be told.",
            traceback="",
        )


def _retry_at(slice: Slice, error: BaseException) -> datetime | None:
    """Say when the next attempt is due; None when there is none."""
    if slice.attempt >= slice.claimed.max_attempts or any(isinstance(leaf, HOPELESS) for leaf in _leaves(error)):
        return None
    seconds = delays.seconds_before(_backoff(slice), slice.attempt, error, slice.root)
    return None if seconds is None else slice.now() + timedelta(seconds=seconds)


def _backoff(slice: Slice) -> BackoffLike:
    """Return the delays as they were told at enqueue, else the task's function, else the settings'."""
    told = json.loads(slice.claimed.options).get("backoff")
    if told is not None:
        return Backoff(**told)
    own = options_of(slice.task).backoff if slice.task is not None else None
    return own or delays.default_backoff(slice)
