"""A class workflow at work: one visit after the other, its state stored with whatever else its steps leave behind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django_tasks_durable.exceptions import DurableError
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import Level, StepKind
from django_tasks_durable.primitives.writes import (
    Failed,
    Line,
    SaveCheckpoint,
    SaveState,
    StateRecord,
    Succeeded,
    Suspended,
)

from . import notes
from .bodies import Body
from .effects import Act, Durable
from .frame import Frame
from .partials import told

if TYPE_CHECKING:
    from django_tasks_durable.authoring.workflow import Workflow

    from .context import DurableContext
    from .slice import Slice

W = TypeVar("W")


def course(slice: Slice, flow: type[Workflow], given: Mapping[str, Any]) -> Act[Any]:
    """Take a workflow from visit to visit until it ends or waits; emit its partials and return its final state.

    A step begins only when the move to it is durable, on the state as it was stored.
    """
    machine = slice.machine = Machine(slice, flow, given)
    while True:
        slice.check()
        method = getattr(machine.workflow, machine.planned.method)
        answer = yield from told(slice, Body(machine.frame, method, (), {}), machine.frame.path.rstrip("/"))
        machine.frame.finish()
        target = machine.plan.target(machine.planned, answer)
        if target is None:
            return machine.plan.shape.result(machine.workflow.state)
        move = machine.move_to(target)
        yield Durable(move)
        machine.enter(move.state)


class Machine:
    """The one instance of a workflow class in a slice, and what is known of its stored state. See Attachment."""

    def __init__(self, slice: Slice, flow: type[Workflow], given: Mapping[str, Any]) -> None:
        stage = slice.claimed.stage
        self.slice = slice
        self.plan = flow.plan
        self.planned = self.plan.step(stage.step)
        self.visit = stage.visit or 1
        self.frame = self._framed()
        self._done: set[str] = set()
        # What is sealed is another text each time, so states are compared as they are.
        self._saved = None if stage.state is None else codec.opened(stage.state)
        shape = self.plan.shape
        state = shape.made(given.get("state", {})) if stage.state is None else shape.decode(stage.state)
        self.workflow = flow(state)
        self.workflow.attach(self)
        if not stage.visit:
            slice.store.submit(self._entrance(self.planned.name, 1, came_from=None))

    # --- what the instance is attached to

    @property
    def run_id(self) -> UUID:
        """See Attachment."""
        return self.slice.claimed.run_id

    @property
    def step(self) -> str:
        """See Attachment."""
        return self.planned.name

    @property
    def context(self) -> DurableContext:
        """See Attachment."""
        return self.frame.context

    def audit(self, kind: str, values: Mapping[str, Any]) -> None:
        """See Attachment. What an earlier slice has told already is not told again."""
        notes.audit(self.frame, kind, values)

    def commanded(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, wakes: bool) -> None:
        """See Attachment. Within a step a command is a method like any other."""

    # --- what is stored

    def text(self) -> str:
        """Return the state as JSON text. Raise InvalidState, NotSerializable or PayloadTooLarge."""
        return self.plan.shape.text(self.workflow.state, limit=self.slice.limit)

    def rewind(self, text: str) -> None:
        """Make the state what it was, unless it still is."""
        if self.text() != text:
            self.workflow.state = self.plan.shape.decode(text)

    def keep(self, write: W) -> W:
        """Return a write with the state beside it, if that has changed, and take it for stored."""
        dressed = self.dressed(write)
        state = getattr(dressed, "state", None)
        if state is not None and state.state is not None:
            self._saved = codec.opened(state.state)
        return dressed

    def doubt(self) -> None:
        """Hear that what was handed over may not have been stored."""
        self._saved = None

    def dressed(self, write: W) -> W:
        """Return a write with the state beside it, if that has changed."""
        match write:
            case SaveCheckpoint():
                self._done.add(write.checkpoint.path)
                is_kept = self.plan.keeps_audit or write.line is None or write.line.level is not Level.INFO
                return replace(write, state=self._changed(), line=write.line if is_kept else None)
            case Suspended():
                return replace(write, state=self._changed())
            case Succeeded():
                return replace(write, state=self._changed() or self._record(None, self.step, self.visit))
            case Failed():
                try:
                    return replace(write, state=self._changed())
                except DurableError:  # the failure may be just that the state cannot be stored
                    return write
        return write

    def _changed(self) -> StateRecord | None:
        text = self.text()
        return None if text == self._saved else self._record(text, self.step, self.visit)

    def _record(self, text: str | None, step: str, visit: int) -> StateRecord:
        sealed = None if text is None else codec.seal(text)
        return StateRecord(state=sealed, step=step, visit=visit, expected=self.slice.claimed.stage.version)

    # --- moving on

    def move_to(self, target: str) -> SaveState:
        """Make the fact that the workflow moves on to a step, leaving behind what this visit still asked."""
        return self._entrance(target, self.visit + 1, came_from=self.step)

    def enter(self, record: StateRecord) -> None:
        """Stand at a step, on the state as it was stored."""
        text = self.text() if record.state is None else codec.opened(record.state)
        self._saved = text
        self.workflow.state = self.plan.shape.decode(text)
        self.planned, self.visit = self.plan.step(record.step), record.visit
        self.frame = self._framed()
        self.slice.partials = 0
        self._done.clear()

    def _framed(self) -> Frame:
        return Frame(self.slice, self.slice.strand, f"{self.visit}:{self.step}/")

    def _entrance(self, target: str, visit: int, *, came_from: str | None) -> SaveState:
        text = self.text()
        is_new = text != self._saved
        self._saved = text
        line = Line(
            kind=StepKind.TRANSITION,
            message=target if came_from is None else f"{came_from} → {target}",
            path=f"{visit}:{target}",
            data=json.dumps({"from": came_from, "to": target, "visit": visit}),
        )
        return SaveState(
            lease=self.slice.claimed.lease,
            state=self._record(text if is_new else None, target, visit),
            line=line if self.plan.keeps_audit else None,
            abandon=() if came_from is None else self._left_open(),
        )

    def _left_open(self) -> tuple[str, ...]:
        if self.slice.claimed.is_fresh:
            return ()
        return tuple(path for path in self.slice.replay.open_questions(self.frame.path) if path not in self._done)
