"""The scenes that are measured. Each begins with no runs and leaves none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import quantiles
from typing import Any
from uuid import UUID

from django_tasks_durable.compat import Task
from django_tasks_durable.primitives import clock
from django_tasks_durable.store import control

from . import plans, rows, tasks
from .crew import Crew
from .measuring import Measuring

PATIENCE_SECONDS = 300.0
DRAINED: Mapping[str, Task[..., Any]] = {
    "drain.async": tasks.anothing,
    "drain.sync": tasks.nothing,
    "drain_failures_history.async": tasks.anothing.using(history="failures"),
    "drain_failures_history.sync": tasks.nothing.using(history="failures"),
}


def enqueue(measuring: Measuring) -> None:
    """Enqueue one by one, each call a transaction of its own."""
    count = measuring.size(1_000, least=20)

    def one_by_one() -> float:
        rows.empty()
        begun = clock.monotonic()
        for _ in range(count):
            tasks.nothing.enqueue()
        return count / (clock.monotonic() - begun)

    measuring.beside("insert_commits_per_s", "enqueue", one_by_one)


def enqueue_many(measuring: Measuring) -> None:
    """Enqueue in bulk."""
    count = measuring.size(20_000, least=100)

    def in_bulk() -> float:
        rows.empty()
        begun = clock.monotonic()
        rows.fill(tasks.nothing, count)
        return count / (clock.monotonic() - begun)

    measuring.beside("bulk_rows_per_s", "enqueue_many", in_bulk)


def drain(measuring: Measuring) -> None:
    """Let one and two workers run tasks that do nothing, with the full timeline and with one of failures alone."""
    for key, task in DRAINED.items():
        for workers in (1, 2):
            with Crew(workers) as crew:
                _warm(task, measuring)
                measuring.beside(
                    "claim_complete_b500_per_s",
                    f"{key}.{workers}",
                    lambda task=task: _drain(task, measuring.size(20_000, least=60)),  # type: ignore[misc]
                )
                if (peak := crew.memory(peak=True)) is not None:
                    measuring.note("rss.peak", peak)
    if "claim_complete_b1_per_s" not in measuring.samples:
        measuring.note("claim_complete_b1_per_s", measuring.limits.measure("claim_complete_b1_per_s"))


def pickup(measuring: Measuring) -> None:
    """Measure from the call of enqueue() to the first line of the body, with an idle worker."""
    called: dict[UUID, float] = {}
    with Crew(1):
        _warm(tasks.begun_at, measuring)
        for number in range(measuring.size(300, least=20)):
            # Not in step with any interval of the worker.
            rows.pause(0.03 + 0.017 * (number % 3))
            begun = clock.monotonic()
            called[UUID(str(tasks.begun_at.enqueue().id))] = begun
        with rows.drained(PATIENCE_SECONDS):
            pass
    waits = sorted(1000 * (rows.result_of(run_id) - begun) for run_id, begun in called.items())
    hundredths = quantiles(waits, n=100, method="inclusive")
    for place in (50, 95, 99):
        measuring.note(f"pickup.p{place}", hundredths[place - 1])
    measuring.say(f"pickup: {hundredths[49]:.1f} / {hundredths[94]:.1f} / {hundredths[98]:.1f} ms")


def steps(measuring: Measuring) -> None:
    """Let runs take steps: one run alone, atomically without and with a row of its own, and many at once."""
    one_run, atomic = measuring.size(1_000, least=10), measuring.size(500, least=5)
    runs = measuring.size(200, least=3)
    with Crew(1):
        _take_steps(tasks.sequential, 1, 20)
        _take_steps(tasks.concurrent, 10, 10)
        measuring.beside("step_commits_per_s", "steps.sequential", lambda: _take_steps(tasks.sequential, 1, one_run))
        measuring.beside("step_commits_per_s", "steps.atomic", lambda: _take_steps(tasks.atomic, 1, atomic))
        measuring.beside("step_commits_per_s", "steps.writing", lambda: _take_steps(tasks.writing, 1, atomic))
        measuring.beside("steps_batched_per_s", "steps.concurrent", lambda: _take_steps(tasks.concurrent, runs, 10))


def resume(measuring: Measuring) -> None:
    """Measure from the call of resume() to the line after the last of 1,000 and of 10,000 finished steps."""
    with Crew(1):
        for full in (1_000, 10_000):
            for wait in _resume(measuring.size(full, least=10)):
                measuring.note(f"resume.{full}", wait)
            measuring.say(f"resume of {full} steps: {measuring.figure(f'resume.{full}'):.1f} ms")


def visits(measuring: Measuring) -> None:
    """Measure from the call of resume() to the next step of a class workflow, at its 100th and its 10,000th visit."""
    with Crew(1):
        for full in (100, 10_000):
            for wait in _resume_visit(measuring.size(full, least=5)):
                measuring.note(f"visit.{full}", wait)
            measuring.say(f"resume at visit {full}: {measuring.figure(f'visit.{full}'):.1f} ms")


def growth(measuring: Measuring) -> None:
    """Drain beside very many finished rows, many that are due tomorrow, and many that a busy key blocks; and beside none."""
    count = measuring.size(10_000, least=60)
    finished, future = measuring.size(1_000_000, least=500), measuring.size(100_000, least=100)
    blocked = measuring.size(10_000, least=60)
    with Crew(1):
        _warm(tasks.anothing, measuring)
        beside: Sequence[tuple[str, Callable[[], None]]] = (
            ("empty", rows.empty),
            ("finished_1m", lambda: rows.add_finished(finished)),
            ("empty", rows.empty),
            ("future_100k", lambda: rows.add_future(future)),
            ("empty", rows.empty),
            ("blocked_10k", lambda: rows.add_blocked(tasks.anothing, blocked)),
            ("empty", rows.empty),
        )
        for key, add in beside:
            rows.empty()
            add()
            measuring.plans[key] = plans.of_a_claim(tasks.anothing)
            for _ in range(measuring.rounds):
                measuring.note(f"growth.{key}", _drain(tasks.anothing, count, anew=False))
            measuring.say(f"growth.{key}: {measuring.figure(f'growth.{key}'):,.0f}/s")


def idle(measuring: Measuring) -> None:
    """Measure what a worker costs that has nothing to do, and how soon a started one runs its first task."""
    for _ in range(measuring.rounds):
        rows.empty()
        (run_id,) = rows.fill(tasks.begun_at, 1)
        crew = Crew(1)
        begun = clock.monotonic()
        try:
            crew.start()
            crew.wait_until_registered()
            with rows.drained(PATIENCE_SECONDS):
                pass
            measuring.note("start", 1000 * (rows.result_of(run_id) - begun))
        finally:
            crew.stop()
    with Crew(1, "--interval", "1", role="count") as crew:
        rows.pause(2.0)
        seconds = max(10 * measuring.scale, 2.0)
        before = crew.statements()
        rows.pause(seconds)
        measuring.note("idle_statements", (crew.statements() - before) / seconds)
        if (size := crew.memory()) is not None:
            measuring.note("rss.idle", size)


SCENES: Mapping[str, Callable[[Measuring], None]] = {
    "enqueue": enqueue,
    "enqueue_many": enqueue_many,
    "drain": drain,
    "pickup": pickup,
    "steps": steps,
    "resume": resume,
    "visits": visits,
    "growth": growth,
    "idle": idle,
}


def _warm(task: Task[..., Any], measuring: Measuring) -> None:
    rows.empty()
    with rows.drained(PATIENCE_SECONDS):
        rows.fill(task, measuring.size(1_000, least=20))


def _drain(task: Task[..., Any], count: int, *, anew: bool = True) -> float:
    if anew:
        rows.empty()
    begun = rows.now()
    with rows.drained(PATIENCE_SECONDS):
        rows.fill(task, count)
    return rows.rate_of_the_drain(begun)


def _take_steps(task: Task[..., Any], runs: int, count: int) -> float:
    rows.empty()
    with rows.drained(PATIENCE_SECONDS):
        rows.fill(task, runs, (count,))
    spans: list[Any] = rows.results()
    if len(spans) != runs:
        raise rows.TookTooLong(f"Of {runs} runs only {len(spans)} ended well.")
    return float(runs * count / (max(end for _, end in spans) - min(begun for begun, _ in spans)))


def _resume(count: int, times: int = 3) -> Iterator[float]:
    """Suspend one run behind its steps and resume it, a few times; give the milliseconds of each."""
    rows.empty()
    (run_id,) = rows.fill(tasks.resumed, 1, (count, times))
    called = []
    for number in range(times):
        _wait_for(lambda asked=number + 1: rows.questions_of(run_id) == asked)  # type: ignore[misc]
        rows.pause(0.1)
        called.append(clock.monotonic())
        control.resume(run_id, number, using="default")
    _wait_for(lambda: rows.result_of(run_id) is not None)
    for begun, mark in zip(called, rows.result_of(run_id), strict=True):
        yield 1000 * (mark - begun)


def _resume_visit(count: int, times: int = 5) -> Iterator[float]:
    """Let a workflow wait behind so many visits and resume it, a few times; give the milliseconds of each."""
    rows.empty()
    run_id = UUID(str(tasks.Visiting.enqueue(tasks.Visiting.State(visits=count, questions=times)).id))
    called: list[float] = []
    for number in range(times):
        _wait_for(lambda visit=count + 1 + number: rows.visit_of(run_id) == visit)  # type: ignore[misc]
        rows.pause(0.1)
        called.append(clock.monotonic())
        control.resume(run_id, number, using="default")
    _wait_for(lambda: rows.state_of(run_id) is not None)
    for begun, mark in zip(called, rows.state_of(run_id).marks, strict=True):
        yield 1000 * (mark - begun)


def _wait_for(happened: Callable[[], bool]) -> None:
    end = clock.monotonic() + PATIENCE_SECONDS
    while not happened():
        if clock.monotonic() > end:
            raise rows.TookTooLong(f"Waited {PATIENCE_SECONDS:g} s for a run.")
        rows.pause(rows.LOOK_SECONDS)
