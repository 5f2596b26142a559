"""What must hold at every moment of a simulated world, and what must have come of it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import FINISHED, LEASED, RunStatus, StepKind
from django_tasks_durable.primitives.writes import ClaimedRun

from . import programs
from .ground import DELIVERIES, FEW, Ended, Ground, Standing
from .programs import Program

#: Between two ticks of the schedule, if a seed has one.
PULSE = timedelta(minutes=2)


class Oracle:
    """Knows what was called, answered and sent, and compares it with what is in the store."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.programs: dict[UUID, tuple[str, Program, str]] = {}
        self.answers: dict[tuple[UUID, str], str] = {}
        self.may_be_cancelled: set[UUID] = set()
        self.lost: dict[UUID, int] = {}
        self._asked_to_cancel: set[UUID] = set()
        self._begun_after_cancel: set[UUID] = set()
        self._seen: dict[UUID, Standing] = {}
        self._checkpoints: dict[tuple[UUID, str], tuple[Any, ...]] = {}
        self._changes: Hashable = None

    # --- what it is told

    def called(self, run_id: UUID, name: str, program: Program, key: str) -> None:
        """Hear of a new run."""
        self.programs[run_id] = (name, program, key)

    def claimed(self, claimed: ClaimedRun) -> None:
        """Hear of a claim."""
        if claimed.run_id in self._asked_to_cancel:
            self._begun_after_cancel.add(claimed.run_id)

    def cancelled(self, run_id: UUID) -> None:
        """Hear that somebody wants a run cancelled that has not ended."""
        self.may_be_cancelled.add(run_id)
        self._asked_to_cancel.add(run_id)

    def retried(self, run_id: UUID) -> None:
        """Hear of an operator's retry, after which a finished run may change."""
        for told in (self.may_be_cancelled, self._asked_to_cancel, self._begun_after_cancel):
            told.discard(run_id)
        self.lost.pop(run_id, None)
        # Its children may go on, too.
        self._seen = {seen: row for seen, row in self._seen.items() if seen in self.programs and seen != run_id}

    def open_with(self, name: str, key: str) -> list[UUID]:
        """Tell which runs of a task are open with this kind of key, as the last look saw them."""
        return [
            run_id
            for run_id, (task, _, has) in self.programs.items()
            if (task, has) == (name, key) and run_id in self._seen and self._seen[run_id].status not in FINISHED
        ]

    def are_open(self) -> list[UUID]:
        """Tell which runs have not ended, children too."""
        return [run_id for run_id, row in self._seen.items() if row.status not in FINISHED]

    # --- what must hold at every moment

    @contextmanager
    def unchanged_if_stale(self, claimed: ClaimedRun) -> Iterator[None]:
        """Hold an attempt that has lost its lease to writing nothing."""
        before = self.ground.traces(claimed.run_id) if self.ground.is_stale(claimed) else None
        yield
        assert before is None or before == self.ground.traces(claimed.run_id), "a stale attempt has written"

    def look(self) -> None:
        """Compare every run with what it was: nothing goes back, and what has ended stays."""
        changes = self.ground.changes()
        if changes == self._changes:
            return
        self._changes = changes
        now = self.ground.standings()
        for run_id, row in now.items():
            was = self._seen.get(run_id)
            if was is not None and was != row:
                assert all(after >= before for before, after in zip(was.counters, row.counters, strict=True)), (
                    f"{run_id} went back: {was} -> {row}"
                )
                assert was.status not in FINISHED or row.status == was.status, f"{run_id}: {was} -> {row}"
                assert was.result is None or row.result == was.result, f"{run_id}: {was} -> {row}"
                self._count_losses(run_id, was, row)
        for run_id in self._asked_to_cancel:
            assert now[run_id].status in (*LEASED, *FINISHED), f"{run_id} goes on although it is to be cancelled"
        self._seen = now
        held = self.ground.held_of_few()
        assert held <= FEW, f"{held} runs of one key are held"
        self._look_at_checkpoints()

    def _count_losses(self, run_id: UUID, was: Standing, row: Standing) -> None:
        """Hold a sweep to what it may do: only a run whose body had begun has lost a delivery."""
        if row.crashes <= was.crashes:
            return
        assert row.lease_token > was.lease_token, f"{run_id} was taken and its token did not grow"
        self.lost[run_id] = self.lost.get(run_id, 0) + (was.status == RunStatus.RUNNING)
        is_poison = row.error_code == "CRASHED"
        assert is_poison == (row.status == RunStatus.FAILED)
        assert is_poison <= (self.lost[run_id] >= DELIVERIES), f"{run_id} failed for {self.lost[run_id]} losses"
        assert row.status != RunStatus.READY or self.lost[run_id] < DELIVERIES, f"{run_id} is delivered for ever"

    def _look_at_checkpoints(self) -> None:
        now = self.ground.checkpoints()
        for place, was in self._checkpoints.items():
            if now.get(place) != was:
                assert was[-1] or "undo:" in place[1], f"the checkpoint {place} was {was} and is {now.get(place)}"
        for run_id in {run_id for run_id, _ in now.keys() - self._checkpoints.keys()}:
            self.lost.pop(run_id, None)
        self._checkpoints = now

    # --- what must have come of it

    def judge(self) -> None:
        """Hold every run to its promise, when all have ended."""
        assert not self.ground.names_held(), "a key is held by no open run"
        for run in self.ground.endings():
            assert run.status in FINISHED
            self._judge_timeline(run)
            if run.status == RunStatus.SUCCESSFUL:
                assert run.run_id not in self._begun_after_cancel, f"{run} began after it was cancelled, and succeeded"
                self._judge_success(run)
            elif run.status == RunStatus.CANCELLED:
                assert self._was_cancelled(run), f"{run} was cancelled by nobody"
            else:
                assert run.error_code in ("CRASHED", "CHILD_FAILED", "CHILD_CANCELLED"), run.errors
        self._judge_ticks()

    def _was_cancelled(self, run: Ended) -> bool:
        """A run is cancelled by who asked for it, or with its parent."""
        if run.run_id in self.may_be_cancelled or run.parent_id is None:
            return run.run_id in self.may_be_cancelled
        return self.ground.status(run.parent_id) in (RunStatus.FAILED, RunStatus.CANCELLED)

    def _judge_timeline(self, run: Ended) -> None:
        lines = self.ground.timeline(run.run_id)
        assert [line.sequence for line in lines] == list(range(1, run.last_sequence + 1)), f"{run}: {lines}"
        raised = [line for line in lines if line.kind in (StepKind.RETRIED, StepKind.FAILED)]
        crashed = sum(line.message.startswith("The worker") for line in raised)
        # An exception that came when the run was to be cancelled counts, and its line tells of the cancellation.
        told_as_cancelled = sum(line.kind == StepKind.CANCELLED for line in lines)
        assert 0 <= run.attempts - (len(raised) - crashed) <= told_as_cancelled, (
            f"{run} counts {run.attempts} of {len(raised)} - {crashed}, {told_as_cancelled}"
        )

    def _judge_ticks(self) -> None:
        """Hold every tick to one run, and every run of the schedule to one tick."""
        ticks = self.ground.ticks()
        beats = [run.run_id for run in self.ground.endings() if run.task_path == programs.pulse.module_path]
        assert sorted(beats) == sorted(run_id for _, run_id in ticks if run_id is not None)
        assert len(ticks) == len(beats)
        for (before, _), (after, _) in pairwise(ticks):
            assert (after - before) % PULSE == timedelta(0) < after - before

    def _judge_success(self, run: Ended) -> None:
        if run.task_path == programs.pulse.module_path:
            assert run.result == codec.encode("once")
            return
        program: Program = codec.decode(run.args)[0]
        is_async = run.task_path.endswith("afollow")
        expected, partials = self._expected(run.run_id, program, is_async=is_async)
        assert codec.decode(run.result or "null") == expected, f"{run} {program}"
        told = [line.data for line in self.ground.timeline(run.run_id) if line.kind == StepKind.PARTIAL]
        assert [codec.decode(data) for data in told] == partials, f"{run} {program}"
        for key, count in self._deeds(program, is_async=is_async):
            done, is_exact = programs.DEEDS.times[run.run_id, key], False
            if count == "atomic":
                done, is_exact = self.ground.booked(run.run_id, key)
            assert done == 1 if is_exact else done >= 1, f"{key} of {run} {program} was done {done} times"

    def _expected(self, run_id: UUID, program: Program, *, is_async: bool) -> tuple[list[Any], list[Any]]:
        found: list[Any] = []
        partials: list[Any] = []
        received = 0
        for place, (what, argument) in enumerate(program):
            key = f"{what}{place}"
            match what:
                case "step" | "atomic":
                    found.append(argument)
                case "flaky" | "dies":
                    found.append(key)
                case "asks" | "hastens":
                    found.append(self._answer(run_id, key))
                case "receives":
                    found.append(received)
                    received += 1
                case "yields":
                    partials.append(argument)
                case "calls" | "spawns" if is_async:
                    found.append(place)
                case "calls":
                    values, more = self._expected_of_call(run_id, argument, key)
                    found.append(values)
                    partials += more
                case "spawns":
                    child = self.ground.child(run_id, key)
                    found.append(self._expected(child.run_id, argument, is_async=False)[0])
        return found, partials

    def _expected_of_call(self, run_id: UUID, program: Program, prefix: str) -> tuple[list[Any], list[Any]]:
        found: list[Any] = []
        partials: list[Any] = []
        for place, (what, argument) in enumerate(program):
            match what:
                case "step" | "calls" | "receives" | "flaky":
                    found.append(place)
                case "atomic":
                    found.append(argument)
                case "asks":
                    found.append(self._answer(run_id, f"{prefix}.{what}{place}"))
                case "naps":
                    pass
                case _:
                    partials.append(place)
        return found, partials

    def _answer(self, run_id: UUID, key: str) -> str | None:
        given = [
            value for (run, path), value in self.answers.items() if run == run_id and path.rpartition(":")[2] == key
        ]
        return given[0] if given else None

    def _deeds(self, program: Program, *, is_async: bool) -> Iterator[tuple[str, str]]:
        for place, (what, argument) in enumerate(program):
            key = f"{what}{place}"
            if what == "atomic":
                yield key, "atomic"
            elif what in ("step", "flaky", "fails", "dies") or (is_async and what in ("calls", "spawns")):
                yield key, "plain"
            elif what == "calls":
                for inner, (did, _) in enumerate(argument):
                    if did in ("step", "calls", "receives", "flaky"):
                        yield f"{key}.{did}{inner}", "plain"
                    elif did == "atomic":
                        yield f"{key}.{did}{inner}", "atomic"
