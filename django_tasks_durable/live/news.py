"""What is told of a run, made once for all who are told it."""

from __future__ import annotations

import json
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django_tasks_durable.primitives.status import RunStatus, StepKind
from django_tasks_durable.snapshots import entries
from django_tasks_durable.snapshots.parts import TimelineLine
from django_tasks_durable.snapshots.policy import Veil
from django_tasks_durable.snapshots.shapes import RunSnapshot

from .audience import Audience

# What cannot change is not told again and again: arguments may be large.
CONSTANT = ("args", "kwargs", "metadata", "schedule", "tick")
# What goes out together costs a server one message; more than this is no message but a load.
BATCH_BYTES = 65_536


@dataclass(frozen=True)
class Frame:
    """One message, without the name of the subscription that it is for."""

    type: str
    fields: dict[str, Any]
    body: str = field(repr=False)

    def to(self, subscription: str | int) -> str:
        """Return the text for one subscription."""
        return f'{{"id":{json.dumps(subscription)},{self.body[1:]}'


def frame(type: str, **fields: Any) -> Frame:
    """Make a message."""
    return Frame(type, fields, json.dumps({"type": type, **fields}, separators=(",", ":"), allow_nan=False))


def packed(told: Iterable[Frame], subscription: str | int) -> Iterator[str]:
    """Give the texts for one subscription: a message alone is told as it is, several that come together as a ``batch``."""
    batch: list[Frame] = []
    size = 0
    for each in told:
        if batch and size + len(each.body) > BATCH_BYTES:
            yield _text(batch, subscription)
            batch, size = [], 0
        batch.append(each)
        size += len(each.body)
    if batch:
        yield _text(batch, subscription)


def _text(batch: list[Frame], subscription: str | int) -> str:
    if len(batch) == 1:
        return batch[0].to(subscription)
    bodies = ",".join(each.body for each in batch)
    return f'{{"id":{json.dumps(subscription)},"type":"batch","frames":[{bodies}]}}'


@dataclass(slots=True)
class Position:
    """How far somebody was told a run."""

    sequence: int
    version: int
    progress_at: datetime | None = None


class RunNews:
    """A run as it is now, and the lines that were new to the hub, in order. Each message is made when it is first asked for."""

    def __init__(self, run: RunSnapshot, lines: Sequence[TimelineLine], before: Position | None, *, bare: bool) -> None:
        self.run = run
        self.lines = lines
        # Whether nothing but the progress differs from what the hub knew before.
        self._bare_since = before.version if before is not None and bare else None
        self._made: dict[tuple[str, str, int], list[Frame]] = {}
        self._told: dict[tuple[Any, ...], list[Frame]] = {}

    @property
    def id(self) -> UUID:
        """The run's id."""
        return self.run.id

    def frames(self, told: Position | None, audience: Audience) -> list[Frame]:
        """Return what is new to somebody who was told so far, in order. Found once for all who were told the same."""
        key = (audience.key, told and (told.sequence, told.version, told.progress_at))
        found = self._told.get(key)
        if found is None:
            found = self._told[key] = list(self._new_to(told, audience))
        return found

    def _new_to(self, told: Position | None, audience: Audience) -> Iterator[Frame]:
        after = told.sequence if told is not None else 0
        lines = [line for line in self.lines if line.sequence > after]
        moved_at = None if self._has_only_ended else self.run.progress.updated_at
        place = None
        is_newer = told is None or (told.version < self.run.version and told.progress_at != moved_at)
        if moved_at is not None and is_newer:
            place = min(
                bisect([line.created_at for line in lines], moved_at), max(0, len(lines) - self.run.is_finished)
            )
        for number, line in enumerate(lines):
            if number == place:
                yield from self._progress(audience)
            yield from line_frames(self.run.id, line, self._kept(audience, "line", line.sequence), audience.veil)
        if place is not None and place >= len(lines):
            yield from self._progress(audience)
        if told is None:
            yield from self._changed(audience, is_whole=True)
        elif told.version < self.run.version and not (lines == [] and self._is_bare_for(told)):
            yield from self._changed(audience, is_whole=False)

    @property
    def _has_only_ended(self) -> bool:
        """Whether the progress is the one that every success leaves, and the task itself said nothing."""
        said = self.run.progress
        return self.run.status is RunStatus.SUCCESSFUL and not said.label and not said.meta_text

    def _is_bare_for(self, told: Position) -> bool:
        return self._bare_since is not None and told.version >= self._bare_since

    def _kept(self, audience: Audience, what: str, number: int = 0) -> list[Frame]:
        return self._made.setdefault((audience.key, what, number), [])

    def _progress(self, audience: Audience) -> list[Frame]:
        kept = self._kept(audience, "progress")
        if not kept:
            told = self.run.progress.as_dict(show=audience.veil) | {"percent": self.run.percent}
            kept.append(
                frame("progress", task_id=str(self.run.id), event="progress", version=self.run.version, progress=told)
            )
        return kept

    def _changed(self, audience: Audience, *, is_whole: bool) -> list[Frame]:
        kept = self._kept(audience, "whole" if is_whole else "changed")
        if not kept:
            task = self.run.as_dict(show=audience.veil)
            kept.append(
                frame("changed", task=task if is_whole else {k: v for k, v in task.items() if k not in CONSTANT})
            )
        return kept


def line_frames(run_id: UUID, line: TimelineLine, kept: list[Frame], veil: Veil) -> list[Frame]:
    """Make the messages of one line, into ``kept`` unless they are there."""
    if not kept:
        event = entries.TYPES.get(line.kind, line.kind.value)
        kept.append(frame("step", task_id=str(run_id), event=event, step=line.as_dict(show=veil)))
        if line.kind is StepKind.STALE:
            kept.append(frame("lease_lost", task_id=str(run_id), event="lease_lost", worker=line.message))
    return kept
