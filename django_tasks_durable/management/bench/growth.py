"""How figures change with what there is: drains beside many rows of others, claims behind a snapshot, one very long run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import ceil
from statistics import median

from . import plans, rows, tasks
from .crew import Crew
from .measuring import Measuring

SIZES = (10_000, 100_000, 1_000_000)
SMALL_SIZES = (100, 1_000, 10_000)
PARTS = 10


def beside_others(measuring: Measuring) -> None:
    """Drain beside ever more rows that have ended, that are due tomorrow, that a busy key blocks and that wait; and beside none."""
    with Crew(1) as crew:
        crew.warm(tasks.anothing, measuring.size(10_000, least=60))
        _grow(measuring, crew, "finished", SIZES, rows.add_finished)
        _grow(measuring, crew, "future", SIZES, rows.add_future)
        _grow(measuring, crew, "blocked", SMALL_SIZES, partial(rows.add_blocked, tasks.anothing))
        # Last, because what a process has once had it may keep.
        before = crew.memory()
        _grow(measuring, crew, "parked", SMALL_SIZES, partial(_park, crew))
        if before is not None and (after := crew.memory()) is not None:
            parked = measuring.size(sum(SMALL_SIZES), least=3)
            measuring.note("rss.parked_run", max(0.0, 1024 * (after - before) / parked))
        rows.empty()


def behind_a_snapshot(measuring: Measuring) -> None:
    """Drain 60,000 runs while another transaction keeps an old snapshot, and while none does, and time the claims."""
    if measuring.limits.facts().get("journal_mode", "wal") != "wal":
        measuring.say("snapshot: with this journal of SQLite a reader that goes on stops every writer")
        return
    count = measuring.size(60_000, least=300)
    with Crew(1, role="clock") as crew:
        crew.warm(tasks.anothing, measuring.size(1_000, least=20))
        crew.claims()
        for name, holding in (("free", False), ("snapshot", True)):
            rows.empty()
            if holding:
                with measuring.limits.snapshot():
                    crew.drain(tasks.anothing, count, anew=False)
            else:
                crew.drain(tasks.anothing, count, anew=False)
            for size, p95 in _by_fifths(crew.claims()):
                measuring.point(f"{name}_claim", size, p95)
    held = measuring.curves["snapshot_claim"]
    measuring.note("snapshot.start", held[min(held)][0])
    measuring.note("snapshot.end", held[max(held)][0])
    measuring.say(f"claim p95: {held[min(held)][0]:.1f} ms at the start, {held[max(held)][0]:.1f} ms at the end")


def of_one_run(measuring: Measuring) -> None:
    """Let one run take 10,000 steps and time each thousand."""
    count = measuring.size(1_000, least=5)
    with Crew(1) as crew:
        crew.warm(tasks.nothing, 20)
        rows.empty()
        with crew.drained():
            rows.fill(tasks.long, 1, (PARTS, count))
        (marks,) = rows.results()
    rates = [count / (end - begun) for begun, end in pairwise(marks)]
    for number, rate in enumerate(rates, 1):
        measuring.point("long_run", number * count, rate)
    measuring.note("long_run.first", rates[0])
    measuring.note("long_run.last", rates[-1])
    measuring.say(f"one run: {rates[0]:,.0f} steps/s at the start, {rates[-1]:,.0f}/s at the end")


def _grow(measuring: Measuring, crew: Crew, name: str, sizes: tuple[int, ...], add: Callable[[int], None]) -> None:
    """Drain an empty table, then beside ever more rows of one kind, each time some rounds."""
    count = measuring.size(10_000, least=60)
    rows.empty()
    there = 0
    for full in (0, *sizes):
        size = measuring.size(full, least=1) if full else 0
        if size > there:
            add(size - there)
        there = size
        key = f"{name}_{_short(full)}" if full else "empty"
        measuring.plans[key] = plans.of_a_claim(tasks.anothing)
        for _ in range(measuring.rounds):
            rate = crew.drain(tasks.anothing, count, anew=False)
            measuring.note(f"growth.{key}", rate)
            measuring.point(name, size, rate)
        measuring.say(f"growth.{key}: {median(measuring.curves[name][size]):,.0f}/s")


def _short(size: int) -> str:
    thousands, millions = size // 1_000, size // 1_000_000
    return f"{millions}m" if millions else f"{thousands}k" if thousands else str(size)


def _park(crew: Crew, count: int) -> None:
    with crew.drained():
        rows.fill(tasks.parked, count)


def _by_fifths(claims: list[tuple[float, int]]) -> list[tuple[int, float]]:
    """Give for each fifth of what was claimed how many had been claimed at its end, and the 95th of 100 of its claims."""
    total = sum(brought for _took, brought in claims)
    fifths: list[list[float]] = [[] for _ in range(5)]
    so_far = 0
    for took, brought in claims:
        fifths[min(4, 5 * so_far // total)].append(took)
        so_far += brought
    return [
        (total * (number + 1) // 5, sorted(tooks)[ceil(0.95 * len(tooks)) - 1])
        for number, tooks in enumerate(fifths)
        if tooks
    ]
