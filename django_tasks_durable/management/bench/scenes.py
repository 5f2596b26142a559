"""The scenes that are measured. Each begins with no runs and leaves none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from statistics import quantiles
from typing import Any
from uuid import UUID

from django_tasks_durable.compat import Task
from django_tasks_durable.primitives import clock
from django_tasks_durable.store import control

from . import claiming, growth, rows, tasks
from .crew import Crew
from .measuring import Measuring

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
    """Enqueue in bulk: as many in a call as go into a few statements, and very many."""
    calls, count = 5, measuring.size(4_000, least=20)

    def in_bulk(calls: int, count: int) -> float:
        rows.empty()
        begun = clock.monotonic()
        for _ in range(calls):
            rows.fill(tasks.nothing, count)
        return calls * count / (clock.monotonic() - begun)

    measuring.beside("bulk_rows_per_s", "enqueue_many", lambda: in_bulk(calls, count))
    measuring.beside("copied_rows_per_s", "enqueue_20k", lambda: in_bulk(1, calls * count))


def drain(measuring: Measuring) -> None:
    """Let one and two workers run tasks that do nothing, with the full timeline and with one of failures alone."""
    for key, task in DRAINED.items():
        for workers in (1, 2):
            with Crew(workers) as crew:
                crew.warm(task, measuring.size(1_000, least=20))
                measuring.beside(
                    "claim_complete_b500_per_s",
                    f"{key}.{workers}",
                    lambda crew=crew, task=task: crew.drain(task, measuring.size(20_000, least=60)),  # type: ignore[misc]
                )
                if (peak := crew.memory(peak=True)) is not None:
                    measuring.note("rss.peak", peak)
    if "claim_complete_b1_per_s" not in measuring.samples:
        measuring.note("claim_complete_b1_per_s", measuring.limits.measure("claim_complete_b1_per_s"))


def claim(measuring: Measuring) -> None:
    """Claim, with nobody to run what that brings."""
    count = measuring.size(20_000, least=300)

    def claimed() -> float:
        rows.empty()
        rows.fill(tasks.nothing, count)
        return claiming.rate([tasks.nothing.module_path], count)

    claimed()
    measuring.beside("claim_complete_b500_per_s", "claim", claimed)


def pickup(measuring: Measuring) -> None:
    """Measure from the call of enqueue() to the first line of the body, with an idle worker."""
    called: dict[UUID, float] = {}
    with Crew(1) as crew:
        crew.warm(tasks.begun_at, measuring.size(1_000, least=20))
        for number in range(measuring.size(300, least=20)):
            # Not in step with any interval of the worker.
            rows.pause(0.03 + 0.017 * (number % 3))
            begun = clock.monotonic()
            called[UUID(str(tasks.begun_at.enqueue().id))] = begun
        with crew.drained():
            pass
    waits = sorted(1000 * (rows.result_of(run_id) - begun) for run_id, begun in called.items())
    hundredths = quantiles(waits, n=100, method="inclusive")
    for place in (50, 95, 99):
        measuring.note(f"pickup.p{place}", hundredths[place - 1])
    measuring.say(f"pickup: {hundredths[49]:.1f} / {hundredths[94]:.1f} / {hundredths[98]:.1f} ms")


def steps(measuring: Measuring) -> None:
    """Let runs take steps: one run alone, mostly pure ones, atomically without and with a row of its own, and many at once."""
    one_run, atomic = measuring.size(1_000, least=10), measuring.size(500, least=5)
    runs = measuring.size(200, least=3)
    with Crew(1) as crew:

        def taken(task: Task[..., Any], runs: int, count: int) -> float:
            return take_steps(crew, task, runs, count)

        taken(tasks.sequential, 1, 20)
        taken(tasks.concurrent, 10, 10)
        measuring.beside("step_commits_per_s", "steps.sequential", lambda: taken(tasks.sequential, 1, one_run))
        measuring.beside("step_commits_per_s", "steps.pure", lambda: taken(tasks.pure, 1, one_run))
        measuring.beside("step_commits_per_s", "steps.atomic", lambda: taken(tasks.atomic, 1, atomic))
        measuring.beside("step_commits_per_s", "steps.writing", lambda: taken(tasks.writing, 1, atomic))
        measuring.beside("steps_batched_per_s", "steps.concurrent", lambda: taken(tasks.concurrent, runs, 10))


def resume(measuring: Measuring) -> None:
    """Measure from the call of resume() to the line after the last of some, of 1,000 and of 10,000 finished steps."""
    with Crew(1) as crew:
        for full in (100, 1_000, 10_000):
            size = measuring.size(full, least=10)
            for wait in _resume(crew, size):
                measuring.note(f"resume.{full}", wait)
                measuring.point("resume", size, wait)
            measuring.say(f"resume of {full} steps: {measuring.figure(f'resume.{full}'):.1f} ms")


def visits(measuring: Measuring) -> None:
    """Measure from the call of resume() to the next step of a class workflow, from its 100th to its 10,000th visit."""
    with Crew(1) as crew:
        for full in (100, 1_000, 10_000):
            size = measuring.size(full, least=5)
            for wait in _resume_visit(crew, size):
                measuring.note(f"visit.{full}", wait)
                measuring.point("visits", size, wait)
            measuring.say(f"resume at visit {full}: {measuring.figure(f'visit.{full}'):.1f} ms")


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
            with crew.drained():
                pass
            measuring.note("start", 1000 * (rows.result_of(run_id) - begun))
        finally:
            crew.stop()
    with Crew(1, "--interval", "1", role="count") as crew:
        rows.pause(2.0)
        seconds = max(10 * measuring.scale, 2.0)
        before = crew.counts()["statements"]
        rows.pause(seconds)
        measuring.note("idle_statements", (crew.counts()["statements"] - before) / seconds)
        if (size := crew.memory()) is not None:
            measuring.note("rss.idle", size)


SCENES: Mapping[str, Callable[[Measuring], None]] = {
    "enqueue": enqueue,
    "enqueue_many": enqueue_many,
    "drain": drain,
    "claim": claim,
    "pickup": pickup,
    "steps": steps,
    "resume": resume,
    "visits": visits,
    "growth": growth.beside_others,
    "snapshot": growth.behind_a_snapshot,
    "long_run": growth.of_one_run,
    "idle": idle,
}


def take_steps(crew: Crew, task: Task[..., Any], runs: int, count: int) -> float:
    """Let so many runs take so many steps each; return how many a second."""
    rows.empty()
    with crew.drained():
        rows.fill(task, runs, (count,))
    spans: list[Any] = rows.results()
    if len(spans) != runs:
        raise rows.TookTooLong(f"Of {runs} runs only {len(spans)} ended well.")
    return float(runs * count / (max(end for _, end in spans) - min(begun for begun, _ in spans)))


def _resume(crew: Crew, count: int, times: int = 3) -> Iterator[float]:
    """Suspend one run behind its steps and resume it, a few times; give the milliseconds of each."""
    rows.empty()
    (run_id,) = rows.fill(tasks.resumed, 1, (count, times))
    called = []
    for number in range(times):
        crew.wait_until(lambda asked=number + 1: rows.questions_of(run_id) == asked, "a question")  # type: ignore[misc]
        rows.pause(0.1)
        called.append(clock.monotonic())
        control.resume(run_id, number, using="default")
    crew.wait_until(lambda: rows.result_of(run_id) is not None, "the end of a run")
    for begun, mark in zip(called, rows.result_of(run_id), strict=True):
        yield 1000 * (mark - begun)


def _resume_visit(crew: Crew, count: int, times: int = 5) -> Iterator[float]:
    """Let a workflow wait behind so many visits and resume it, a few times; give the milliseconds of each."""
    rows.empty()
    run_id = UUID(str(tasks.Visiting.enqueue(tasks.Visiting.State(visits=count, questions=times)).id))
    called: list[float] = []
    for number in range(times):
        crew.wait_until(lambda visit=count + 1 + number: rows.visit_of(run_id) == visit, "a visit")  # type: ignore[misc]
        rows.pause(0.1)
        called.append(clock.monotonic())
        control.resume(run_id, number, using="default")
    crew.wait_until(lambda: rows.state_of(run_id) is not None, "the end of a workflow")
    for begun, mark in zip(called, rows.state_of(run_id).marks, strict=True):
        yield 1000 * (mark - begun)
