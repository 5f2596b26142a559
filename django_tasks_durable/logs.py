"""For the project's LOGGING: which run a line is about, and lines of JSON."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from .engine.bodies import CURRENT
from .primitives.secrets import without_secrets

FACTS = ("run_id", "task_path", "attempt")
# What every record has; the rest was given as ``extra=``.
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class RunFilter(logging.Filter):
    """Gives each record ``run_id``, ``task_path`` and ``attempt``: of the task that writes it, empty outside of one.

    What the record has already stands: the lines of the worker about a run bring their own.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the facts, and let the record through."""
        frame = CURRENT.get()
        claimed = None if frame is None else frame.slice.claimed
        found = ("", "", 0) if frame is None or claimed is None else (
            str(claimed.run_id), claimed.task_path, frame.slice.attempt
        )  # fmt: skip
        for name, value in zip(FACTS, found, strict=True):
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON: time, level, logger, message, the exception, and whatever was given as ``extra=``.

    Passwords in addresses and the links of answers are masked.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a line feed."""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _USUAL and value not in ("", None)},
        }
        if record.exc_info and record.exc_info[0] is not None:
            told["exception"] = self.formatException(record.exc_info)
        return without_secrets(json.dumps(told, ensure_ascii=False, default=str))
