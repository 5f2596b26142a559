"""One task for a page that shows its partial results as they are written, and its questions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from django_tasks_durable.primitives.status import FINISHED, RunStatus, State, StepKind
from django_tasks_durable.snapshots.policy import Veil
from django_tasks_durable.snapshots.waits import waits

from .news import Frame, frame

Event = tuple[Frame, int | None]


class Partials:
    """Makes of what a subscription tells what such a page needs. Looks up questions, so call it off the event loop."""

    def __init__(self, run_id: UUID, veil: Veil, using: str) -> None:
        self._run_id = run_id
        self._veil = veil
        self._using = using
        self._task: dict[str, Any] = {}
        self._position = 0
        self._shown: Any = None
        self._questions: list[dict[str, Any]] = []

    def events(self, told: Iterable[Frame]) -> Iterator[Event]:
        """Give events, those to go on behind with the sequence of their line."""
        for each in told:
            match each.type:
                case "bootstrap":
                    yield from self._bootstrap(each.fields["runs"])
                case "step":
                    yield from self._line(each.fields["step"])
                case "changed":
                    self._task |= each.fields["task"]
                    yield from self._changed()

    def _bootstrap(self, runs: list[dict[str, Any]]) -> Iterator[Event]:
        if not runs:
            yield frame("error", code="not_found", message="The task is gone, or you may see it no longer."), None
            yield frame("end"), None
            return
        self._task = {name: value for name, value in runs[0].items() if name != "timeline"}
        for line in runs[0]["timeline"]:
            yield from self._line(line)
        if not runs[0]["timeline"]:
            self._position = self._task["last_sequence"]
        yield from self._changed()

    def _line(self, line: dict[str, Any]) -> Iterator[Event]:
        self._position = line["sequence"]
        if line["kind"] == StepKind.PARTIAL:
            yield (
                frame("partial", sequence=line["sequence"], partial=line["data"], created_at=line["created_at"]),
                line["sequence"],
            )
        yield from self._end()

    def _changed(self) -> Iterator[Event]:
        if self._questions or self._task["state"] == State.WAITING:
            found = waits(self._run_id, using=self._using)
            self._questions = [wait.as_dict(show=self._veil.masked) for wait in found]
        workflow = self._task.get("workflow") or {}
        shown = self._task["state"], workflow.get("step"), self._questions
        if shown != self._shown:
            self._shown = shown
            yield frame("changed", task=self._task | {"questions": self._questions}), None
        yield from self._end()

    def _end(self) -> Iterator[Event]:
        is_over = RunStatus(self._task["status"]) in FINISHED
        if is_over and self._position >= self._task["last_sequence"]:
            yield frame("end", task=self._task | {"questions": []}), self._position
