"""What a body tells of itself without waiting: how far it is, and what it did."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from django_tasks_durable.authoring.handles import audit_line
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import Level, StepKind
from django_tasks_durable.primitives.writes import Append, Line, SetProgress

from .frame import Frame
from .records import printable
from .waits import Missing

T = TypeVar("T")
LABEL_LENGTH = 200
KINDS = {
    kind.value: kind for kind in (StepKind.LOG, StepKind.STEP, StepKind.EVENT, StepKind.CHECKPOINT, StepKind.CUSTOM)
}
LEVELS = {**{level.value: level for level in Level}, "warning": Level.WARN}


def progress(
    frame: Frame,
    percent: float | None,
    label: str | Missing | None,
    meta: Mapping[str, Any] | Missing | None,
    more: Mapping[str, Any],
) -> None:
    """Say how far the run is. What an earlier slice has said already is not said again.

    What is missing stays as it was; None clears the label and the meta, which is replaced as a whole.
    """
    share = _share(percent)
    _hand_over(
        frame,
        SetProgress(
            lease=frame.slice.claimed.lease,
            percent=share,
            label=None if isinstance(label, Missing) else printable(str(label or ""), LABEL_LENGTH),
            meta=_meta(frame, meta, more),
        ),
    )


def _meta(frame: Frame, meta: Mapping[str, Any] | Missing | None, more: Mapping[str, Any]) -> str | None:
    if isinstance(meta, Missing):
        return codec.encode(dict(more), where="meta", limit=frame.slice.limit) if more else None
    if meta is not None and not isinstance(meta, Mapping):
        raise TypeError(f"meta={meta!r}: give a mapping, or None to clear it.")
    told = {**(meta or {}), **more}
    return codec.encode(told, where="meta", limit=frame.slice.limit) if told else ""


def log(frame: Frame, message: str, kind: str, level: str, percent: float | None, data: dict[str, Any]) -> None:
    """Write a line into the timeline, and how far the run is. What an earlier slice has written is not written again."""
    share = _share(percent)
    line = Line(
        kind=_one_of(KINDS, "kind", kind),
        message=printable(str(message)),
        level=_one_of(LEVELS, "level", level),
        path=frame.path.rstrip("/"),
        percent=share,
        data=codec.encode(data, where="data", limit=frame.slice.limit) if data else "",
    )
    _hand_over(frame, Append(lease=frame.slice.claimed.lease, line=line))
    if share is not None:
        _hand_over(frame, SetProgress(lease=frame.slice.claimed.lease, percent=share))


def audit(frame: Frame, kind: str, values: Mapping[str, Any]) -> None:
    """Write a line of a workflow's own into the timeline. See log()."""
    line = audit_line(kind, values, path=frame.path.rstrip("/"))
    _hand_over(frame, Append(lease=frame.slice.claimed.lease, line=line))


def _hand_over(frame: Frame, fact: Append | SetProgress) -> None:
    suspended = frame.strand.suspended()
    if suspended is not None:
        raise suspended
    frame.slice.check()
    if frame.strand.limit is not None:
        frame.strand.limit.check()
    if frame.is_replaying:
        return
    if isinstance(fact, Append):
        frame.slice.allowance.line(fact.line.path or fact.line.kind, fact.line.message, fact.line.data)
    notes = frame.strand.atomic
    if notes is not None:
        notes.facts.append(fact)
    else:
        frame.slice.store.submit(fact)


def _share(percent: float | None) -> float | None:
    if percent is None:
        return None
    share = float(percent)
    if not math.isfinite(share):
        raise ValueError(f"percent={percent!r}: give a number from 0 to 100.")
    return min(max(share, 0.0), 100.0)


def _one_of(known: Mapping[str, T], what: str, name: str) -> T:
    if name in known:
        return known[name]
    like = difflib.get_close_matches(str(name), known, n=1)
    hint = f"Did you mean {like[0]!r}?" if like else f"There are {', '.join(dict.fromkeys(map(str, known.values())))}."
    raise ValueError(f"{what}={name!r} is unknown. {hint}")
