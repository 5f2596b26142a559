"""The demo as a story: a run that loses its worker half-way, goes on with another, asks, and ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django_tasks_durable.primitives.status import RunStatus, StepKind
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.shapes import RunSnapshot
from django_tasks_durable.store import control
from example_project.airports import rules, tasks
from example_project.airports.models import ChunkWrite

from . import audit
from .screen import Screen
from .workers import Child, Children, start_worker

USING = "default"
LOOK_SECONDS = 0.1
# The step that looks at the file comes before the first chunk, so chunk n is the step n + 1 of the run.
STEPS_BEFORE_CHUNKS = 1
SIGKILLED = -9


class DemoFailed(Exception):
    """The run did not do what this demo is there to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """What the demo is asked to do. ``answer`` is None when a person at the terminal is to be asked."""

    kill_at: float
    answer: str | None
    atomic: bool
    chunk_rows: int
    timeout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the demo saw."""

    run: UUID
    figures: dict[str, Any]
    killed_at_percent: float
    attempts: int


class Story:
    """Tells the story once, on one screen."""

    def __init__(self, plot: Plot, screen: Screen, children: Children) -> None:
        self._plot = plot
        self._screen = screen
        self._children = children
        self._deadline = time.monotonic() + plot.timeout
        self._workers = 0

    def tell(self, chunks: int) -> Outcome:
        """Run the import through a crash and a question to its end."""
        doomed = max(2, min(chunks - 1, round(chunks * self._plot.kill_at / 100) + 1))
        run = UUID(tasks.import_airports.enqueue(self._plot.chunk_rows, self._plot.atomic).id)
        self._screen.line(f"Enqueued task {run}.")

        first = self._start_worker({"DURABLE_FAULTS": f"after_effect:stop:{doomed + STEPS_BEFORE_CHUNKS}"})
        self._follow(run, first, until=lambda _: first.has_stopped_itself())
        killed_at_percent = self._kill(run, first, doomed, chunks)

        second = self._start_worker()
        self._await_takeover(run, second)
        self._follow(run, second, until=lambda seen: seen.status is RunStatus.WAITING)
        self._say_how_often(run, chunks)
        self._answer(run)
        end = self._follow(run, second, until=lambda seen: seen.is_finished)
        return Outcome(
            run=run, figures=_result(end), killed_at_percent=killed_at_percent, attempts=self._count_attempts(end)
        )

    def _start_worker(self, environment: dict[str, str] | None = None) -> Child:
        self._workers += 1
        name = f"worker {self._workers}"
        worker = start_worker(self._children, name, environment)
        self._screen.line(f"Started {name} (process {worker.pid}).")
        return worker

    def _follow(self, run: UUID, worker: Child, *, until: Callable[[RunSnapshot], bool]) -> RunSnapshot:
        """Show the run's progress until something is so. Raise DemoFailed when it can no longer become so."""
        while True:
            seen = read.one(run, using=USING)
            self._screen.bar(seen.percent or 0, seen.progress.label or "Waiting for a worker")
            if until(seen):
                return seen
            if seen.status in {RunStatus.FAILED, RunStatus.CANCELLED}:
                _result(seen)
            worker.must_be_alive()
            self._rest(f"the run is {seen.state.label} at {seen.percent or 0:.0f} %")

    def _kill(self, run: UUID, worker: Child, doomed: int, chunks: int) -> float:
        """Kill the worker that stands inside a chunk's step and return how much of the file was committed by then."""
        before = audit.chunks_written(run)
        code = worker.kill()
        if code != SIGKILLED:
            raise DemoFailed(f"The worker ended with {code}, not by SIGKILL.")
        after = audit.chunks_written(run)
        expected = doomed - 1 if self._plot.atomic else doomed
        if (before, after) != (expected, expected):
            raise DemoFailed(
                f"The kill was meant for chunk {doomed}, but {before} chunks were written before it, {after} after."
            )
        percent = round(100 * (doomed - 1) / chunks, 1)
        self._screen.line(
            f"Killed worker {self._workers} with SIGKILL inside the step of chunk {doomed}, at {percent} %:"
        )
        lost = (
            "its rows were not committed yet"
            if self._plot.atomic
            else "its rows were committed, its checkpoint was not"
        )
        self._screen.line(f"  {lost}; the database has {after} of {chunks} chunks.")
        return percent

    def _await_takeover(self, run: UUID, worker: Child) -> None:
        """Wait until the new worker goes on: the lease of the dead one must end first."""
        self._screen.line("The run is leased to the dead worker until its lease ends.")
        began, before = time.monotonic(), ChunkWrite.objects.filter(run=run).count()
        while ChunkWrite.objects.filter(run=run).count() == before:
            worker.must_be_alive()
            self._rest("no worker has taken the run over")
        self._screen.line(f"Worker {self._workers} went on {time.monotonic() - began:.1f} s after it was started.")

    def _say_how_often(self, run: UUID, chunks: int) -> None:
        twice = audit.chunks_written_twice(run)
        self._screen.line(
            f"Counted in SQL: {audit.chunks_written(run)} of {chunks} chunks written, {twice} of them twice."
        )

    def _answer(self, run: UUID) -> None:
        """Answer the run's question, or let a person do so."""
        (wait,) = read.waits(run, using=USING)
        request = wait.request
        self._screen.line()
        self._screen.line(f"The run asks: {request['question']}")
        for reason, words in rules.REASONS.items():
            self._screen.line(
                f"  {words}: {request['counts'][reason]:,}, such as {'; '.join(request['examples'][reason][:2])}"
            )
        decision = self._plot.answer or self._ask(request["choices"])
        if self._plot.answer:
            self._screen.line(f"The demo answers itself: {decision} ({request['choices'][decision]}).")
        control.resume(run, {"decision": decision}, token=wait.token, using=USING, by="demo")

    def _ask(self, choices: dict[str, str]) -> str:
        for choice, words in choices.items():
            self._screen.line(f"  {choice}: {words}")
        asked_at = time.monotonic()
        while True:
            self._screen.prompt(f"{', '.join(choices)}? [{tasks.MARK}] ")
            line = sys.stdin.readline()
            answer = line.strip().lower() or tasks.MARK
            if answer in choices:
                break
            self._screen.line(f"{answer!r} is none of them.")
        # A person may take as long as they like.
        self._deadline += time.monotonic() - asked_at
        return answer

    def _count_attempts(self, end: RunSnapshot) -> int:
        """Count the attempts: those that ended, and those that died with their worker."""
        lines = read.timeline(end.id, after=0, limit=end.last_sequence, using=USING)
        return end.attempt + sum(line.kind is StepKind.STALE for line in lines)

    def _rest(self, situation: str) -> None:
        if time.monotonic() > self._deadline:
            raise DemoFailed(f"Gave up after {self._plot.timeout:.0f} s: {situation}.")
        time.sleep(LOOK_SECONDS)


def _result(end: RunSnapshot) -> dict[str, Any]:
    if end.status is not RunStatus.SUCCESSFUL:
        reasons = "; ".join(f"{error.exception_class_path}: {error.message}" for error in end.errors)
        raise DemoFailed(f"The run is {end.state.label}. {reasons or end.cancel_reason}")
    return dict(end.result)
