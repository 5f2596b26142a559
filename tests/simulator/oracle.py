"""What must hold at every moment of a simulated world, and what must have come of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from django_tasks_durable.models import OpenKey, Step, TaskRun
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import FINISHED, LEASED, RunStatus, StepKind
from django_tasks_durable.primitives.writes import ClaimedRun
from django_tasks_durable.store.tables import CHECKPOINTS, RUNS, STEPS, WAITS, WORKERS
from tests.probe.models import Effect

from . import programs
from .programs import Program

#: How many runs of the limited key may be held at a time.
FEW = 2
EFFECTS = Effect._meta.db_table


class Standing(NamedTuple):
    """What a look sees of a run."""

    status: str
    lease_token: int
    version: int
    last_sequence: int
    attempts: int
    crashes: int
    error_code: str
    result: str | None

    @property
    def counters(self) -> tuple[int, ...]:
        """What only grows."""
        return self[1:5]


def rows(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Ask the database, without the ORM: this is asked after every move."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


class Oracle:
    """Knows what was called, answered and sent, and compares it with the rows."""

    def __init__(self) -> None:
        self.programs: dict[UUID, tuple[str, Program, str]] = {}
        self.answers: dict[tuple[UUID, str], str] = {}
        self.may_be_cancelled: set[UUID] = set()
        self.lost: dict[UUID, int] = {}
        self._asked_to_cancel: set[UUID] = set()
        self._begun_after_cancel: set[UUID] = set()
        self._seen: dict[UUID, Standing] = {}
        self._checkpoints: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._changes = -1

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

    def status(self, run_id: UUID) -> RunStatus:
        """Read a run's status."""
        return RunStatus(rows(f"SELECT status FROM {RUNS} WHERE id = %s", run_id.hex)[0][0])

    def are_open(self) -> list[UUID]:
        """Tell which runs have not ended, children too."""
        return [run_id for run_id, row in self._seen.items() if row.status not in FINISHED]

    def is_dead(self, worker_id: str) -> bool:
        """Tell whether a worker was declared dead."""
        return rows(f"SELECT dead_at IS NOT NULL FROM {WORKERS} WHERE id = %s", worker_id) == [(1,)]

    # --- what must hold at every moment

    def is_stale(self, claimed: ClaimedRun) -> bool:
        """Tell whether somebody else may write by now."""
        ((token, status),) = rows(f"SELECT lease_token, status FROM {RUNS} WHERE id = %s", claimed.run_id.hex)
        return token != claimed.lease.token or status not in LEASED

    def traces(self, run_id: UUID) -> list[Any]:
        """Read all rows of a run."""
        tables = [(RUNS, "id"), (STEPS, "run_id"), (CHECKPOINTS, "run_id"), (WAITS, "run_id"), (EFFECTS, "run_id")]
        return [rows(f"SELECT * FROM {table} WHERE {column} = %s", run_id.hex) for table, column in tables]

    @contextmanager
    def unchanged_if_stale(self, claimed: ClaimedRun) -> Iterator[None]:
        """Hold an attempt that has lost its lease to writing nothing."""
        before = self.traces(claimed.run_id) if self.is_stale(claimed) else None
        yield
        assert before is None or before == self.traces(claimed.run_id), "a stale attempt has written"

    def look(self) -> None:
        """Compare every run with what it was: nothing goes back, and what has ended stays."""
        changes = connection.connection.total_changes
        if changes == self._changes:
            return
        self._changes = changes
        now = {
            UUID(row[0]): Standing(*row[1:]) for row in rows(f"SELECT id, {', '.join(Standing._fields)} FROM {RUNS}")
        }
        for run_id, row in now.items():
            was = self._seen.get(run_id)
            if was is not None and was != row:
                assert all(after >= before for before, after in zip(was.counters, row.counters, strict=True)), (
                    f"{run_id} went back: {was} -> {row}"
                )
                assert was.status not in FINISHED or row.status == was.status, f"{run_id}: {was} -> {row}"
                assert was.result is None or row.result == was.result, f"{run_id}: {was} -> {row}"
                self._count_losses(run_id, was, row)
        self._seen = now
        held = rows(f"SELECT count(*) FROM {RUNS} WHERE concurrency_key = 'few' AND status IN ('CLAIMED', 'RUNNING')")
        assert held[0][0] <= FEW, f"{held[0][0]} runs of one key are held"
        self._look_at_checkpoints()

    def _count_losses(self, run_id: UUID, was: Standing, row: Standing) -> None:
        """Hold a sweep to what it may do: only a run whose body had begun has lost a delivery."""
        if row.crashes <= was.crashes:
            return
        assert row.lease_token > was.lease_token, f"{run_id} was taken and its token did not grow"
        self.lost[run_id] = self.lost.get(run_id, 0) + (was.status == RunStatus.RUNNING)
        is_poison = row.error_code == "CRASHED"
        assert is_poison == (row.status == RunStatus.FAILED)
        assert is_poison <= (self.lost[run_id] >= programs.DELIVERIES), (
            f"{run_id} failed for {self.lost[run_id]} losses"
        )
        assert row.status != RunStatus.READY or self.lost[run_id] < programs.DELIVERIES, (
            f"{run_id} is delivered for ever"
        )

    def _look_at_checkpoints(self) -> None:
        now = {row[:2]: row[2:] for row in rows(f"SELECT run_id, path, id, value, failed FROM {CHECKPOINTS}")}
        for place, was in self._checkpoints.items():
            if now.get(place) != was:
                assert was[-1] or "undo:" in place[1], f"the checkpoint {place} was {was} and is {now.get(place)}"
        for run_id in {run_id for run_id, _ in now.keys() - self._checkpoints.keys()}:
            self.lost.pop(UUID(run_id), None)
        self._checkpoints = now

    # --- what must have come of it

    def judge(self) -> None:
        """Hold every run to its promise, when all have ended."""
        assert not OpenKey.objects.exclude(kind__in=("run", "idempotency")).exists(), "a key is held by no open run"
        for run in TaskRun.objects.all():
            assert run.status in FINISHED
            self._judge_timeline(run)
            self._judge_attempts(run)
            if run.status == RunStatus.SUCCESSFUL:
                assert run.id not in self._begun_after_cancel, f"{run} began after it was cancelled, and succeeded"
                self._judge_success(run)
            elif run.status == RunStatus.CANCELLED:
                assert self._was_cancelled(run), f"{run} was cancelled by nobody"
            else:
                assert run.error_code in ("CRASHED", "CHILD_FAILED", "CHILD_CANCELLED"), run.errors

    def _was_cancelled(self, run: TaskRun) -> bool:
        """A run is cancelled by who asked for it, or with its parent."""
        if run.id in self.may_be_cancelled or run.parent_id is None:
            return run.id in self.may_be_cancelled
        return self.status(run.parent_id) in (RunStatus.FAILED, RunStatus.CANCELLED)

    def _judge_timeline(self, run: TaskRun) -> None:
        lines = list(Step.objects.filter(run_id=run.id).order_by("sequence").values_list("sequence", "kind"))
        assert [sequence for sequence, _ in lines] == list(range(1, run.last_sequence + 1)), f"{run}: {lines}"

    def _judge_attempts(self, run: TaskRun) -> None:
        raised = Step.objects.filter(run_id=run.id, kind__in=(StepKind.RETRIED, StepKind.FAILED))
        crashed = raised.filter(message__startswith="The worker").count()
        assert run.attempts == raised.count() - crashed, f"{run} counts {run.attempts} of {raised.count()} - {crashed}"

    def _judge_success(self, run: TaskRun) -> None:
        program: Program = codec.decode(run.args)[0]
        is_async = run.task_path.endswith("afollow")
        expected, partials = self._expected(run.id, program, is_async=is_async)
        assert codec.decode(run.result or "null") == expected, f"{run} {program}"
        told = (
            Step.objects.filter(run_id=run.id, kind=StepKind.PARTIAL)
            .order_by("sequence")
            .values_list("data", flat=True)
        )
        assert [codec.decode(data) for data in told] == partials, f"{run} {program}"
        for key, count in self._deeds(program, is_async=is_async):
            if count == "atomic":
                assert Effect.objects.filter(run_id=run.id, name=key).count() == 1, f"{key} of {run} {program}"
            else:
                assert programs.DEEDS.times[run.id, key] >= 1, f"{key} of {run} was never done"

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
                    child = TaskRun.objects.get(parent_id=run_id, parent_path__endswith=key)
                    found.append(self._expected(child.id, argument, is_async=False)[0])
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
