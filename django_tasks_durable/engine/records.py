"""How primitives tell what they did: the facts they hand over."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.marks import TRY
from django_tasks_durable.primitives.status import CheckpointKind, Level, StepKind
from django_tasks_durable.primitives.writes import CheckpointRecord, Line, SaveCheckpoint

from .replay import Place

MESSAGE_LENGTH = 2000
LINES = {CheckpointKind.PATCH: StepKind.PATCHED, CheckpointKind.UNDO: StepKind.COMPENSATED}


def saved(
    lease: Lease,
    place: Place,
    kind: CheckpointKind,
    text: str,
    *,
    fingerprint: str = "",
    seconds: float | None = None,
    line: Line | None = None,
) -> SaveCheckpoint:
    """Tell that a primitive is done."""
    record = CheckpointRecord(
        path=place.path, kind=kind, position=place.position, fingerprint=fingerprint, value=text, seconds=seconds
    )
    return SaveCheckpoint(lease=lease, checkpoint=record, line=line)


def failed(
    lease: Lease,
    place: Place,
    kind: CheckpointKind,
    error: BaseException,
    *,
    fingerprint: str = "",
    seconds: float | None = None,
    **extras: Any,
) -> SaveCheckpoint:
    """Tell that a primitive has failed for good. ``extras`` go beside the error, for the replay."""
    record = CheckpointRecord(
        path=place.path,
        kind=kind,
        position=place.position,
        fingerprint=fingerprint,
        failed=True,
        value=with_extras(codec.encode_error(error), **extras),
        seconds=seconds,
    )
    message = f"{key_of(place)} failed: {said(error)}"
    return SaveCheckpoint(lease=lease, checkpoint=record, line=step_line(place, message, Level.ERROR, kind=kind))


def failed_try(
    place: Place, number: int, error: BaseException, *, fingerprint: str, seconds: float, due: datetime
) -> CheckpointRecord:
    """Tell that one try of a step has failed and when the next is due."""
    return CheckpointRecord(
        path=f"{place.path}{TRY}{number}",
        kind=CheckpointKind.TRY,
        position=place.position,
        fingerprint=fingerprint,
        failed=True,
        value=with_extras(codec.encode_error(error), due=due.isoformat()),
        seconds=seconds,
    )


def patched(lease: Lease, place: Place, is_new: bool) -> SaveCheckpoint:
    """Tell which way the run takes where its code was changed."""
    line = step_line(place, f"{key_of(place)}: the {'new' if is_new else 'old'} way", kind=CheckpointKind.PATCH)
    return saved(lease, place, CheckpointKind.PATCH, "true" if is_new else "false", line=line)


def with_extras(text: str, **extras: Any) -> str:
    """Return the JSON text of an error with more beside it."""
    if not extras:
        return text
    return codec.seal(json.dumps({**json.loads(codec.opened(text)), **extras}, separators=(",", ":")))


def due_of(failed_try: CheckpointRecord) -> datetime | None:
    """Return when the try after this one is due."""
    due = json.loads(codec.opened(failed_try.value)).get("due")
    return datetime.fromisoformat(due) if due else None


def step_line(
    place: Place, message: str, level: Level = Level.INFO, *, kind: CheckpointKind = CheckpointKind.STEP
) -> Line:
    """Tell a checkpoint in the timeline."""
    return Line(kind=LINES.get(kind, StepKind.STEP), message=printable(message), level=level, path=place.path)


def key_of(place: Place) -> str:
    """Return the name that people know a primitive by."""
    return place.path[len(place.scope) :].partition(":")[2]


def said(error: BaseException) -> str:
    """Tell an error in one line, whatever it is."""
    record = codec.error_record(error)
    name = record.exception_class_path.rpartition(".")[2]
    return f"{name}: {record.message}" if record.message else name


def printable(text: str, length: int = MESSAGE_LENGTH) -> str:
    """Return text that every database can store."""
    if not text.isascii() or "\x00" in text:
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    return text if len(text) <= length else f"{text[: length - 1]}…"
