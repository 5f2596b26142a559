"""How long to wait before the next try of a step or the next attempt of a run."""

from __future__ import annotations

import logging
import math
from datetime import timedelta

from django_tasks_durable.authoring.backoff import Backoff
from django_tasks_durable.authoring.options import BackoffLike
from django_tasks_durable.conf import get_options

from . import records
from .frame import Frame
from .slice import Slice

logger = logging.getLogger("django_tasks_durable.engine")

LONGEST_SECONDS = 10 * 365 * 86400.0


def default_backoff(slice: Slice) -> BackoffLike:
    """Return the delays that the settings give, or ours."""
    return get_options(slice.claimed.backend).backoff or Backoff()


def seconds_before(backoff: BackoffLike, number: int, error: BaseException, frame: Frame) -> float | None:
    """Ask a backoff for the delay after this failure, None to give up. What it says is never trusted with the run."""
    if isinstance(backoff, Backoff):
        return backoff.delay(number)
    try:
        said = backoff(error, frame.context.task_result)
        seconds = said.total_seconds() if isinstance(said, timedelta) else said
        if seconds is None:
            return None
        if math.isfinite(seconds) and seconds >= 0:
            return min(float(seconds), LONGEST_SECONDS)
        problem = f"it returned {said!r}"
    except Exception as broken:
        problem = records.said(broken)
    logger.error(
        "The backoff of run %s cannot be used (%s); the usual delay is taken", frame.slice.claimed.run_id, problem
    )
    return Backoff().delay(number)
