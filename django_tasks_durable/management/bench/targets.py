"""What the figures are held against: each line with its target, which is to be kept, and its goal, which is to be reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Results = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bound:
    """At least ``least`` or at most ``most``, of a line's ratio or of its figure."""

    least: float | None = None
    most: float | None = None
    on_ratio: bool = False

    def holds(self, judged: float) -> bool:
        """Tell whether a number keeps to it; the bound itself does."""
        return (self.least is None or judged >= self.least) and (self.most is None or judged <= self.most)


def share(least: float) -> Bound:
    """Ask for at least this ratio."""
    return Bound(least=least, on_ratio=True)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the report: where its figure and its ratio to ``of`` are among the results, as dotted paths."""

    name: str
    text: str
    unit: str
    figure: str
    ratio: str = ""
    of: str = ""

    def judged(self, bound: Bound | None, results: Results) -> bool | None:
        """Tell whether a bound holds; None when there is none or nothing was measured."""
        number = at(results, self.ratio if bound and bound.on_ratio else self.figure)
        return None if bound is None or number is None else bound.holds(number)

    def said(self, bound: Bound | None) -> str:
        """Say a bound, empty without one."""
        if bound is None:
            return ""
        limit, sign = (bound.least, ">=") if bound.least is not None else (bound.most, "<=")
        return f"{sign} {limit:g} of {self.of}" if bound.on_ratio else f"{sign} {limit:,g} {self.unit}"


def at(results: Results, path: str) -> float | None:
    """Find a number among the results, None where there is none."""
    found: Any = results
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, (int, float)) else None


LINES = (
    Line("enqueue", "enqueue one by one", "/s", "enqueue_per_s", "ratio.enqueue", "insert commits"),
    Line("enqueue_many", "enqueue 4,000 at once", "/s", "enqueue_many_per_s", "ratio.enqueue_many", "bulk rows"),
    Line("enqueue_20k", "enqueue 20,000 at once", "/s", "enqueue_20k_per_s", "ratio.enqueue_20k", "copied rows"),
    *(
        Line(f"drain_{kind}", f"drain, {kind}, 1 worker", "/s", f"drain_per_s.{kind}.1", f"ratio.drain_{kind}", "limit")
        for kind in ("async", "sync")
    ),
    *(
        Line(
            f"drain_{kind}_2", f"drain, {kind}, 2 workers", "/s", f"drain_per_s.{kind}.2",
            f"ratio.drain_{kind}_2_workers", "one worker",
        )
        for kind in ("async", "sync")
    ),
    *(
        Line(
            f"drain_failures_history_{kind}", f"drain, {kind}, only failures told", "/s",
            f"drain_failures_history_per_s.{kind}.1", f"ratio.drain_failures_history_{kind}", "limit",
        )
        for kind in ("async", "sync")
    ),
    Line("claim", "claims, 250 at once", "/s", "claim_per_s", "ratio.claim", "limit"),
    Line("pickup_p50", "pick-up, half of them", "ms", "pickup_ms.p50"),
    Line("pickup_p95", "pick-up, 95 of 100", "ms", "pickup_ms.p95"),
    Line("pickup_p99", "pick-up, 99 of 100", "ms", "pickup_ms.p99"),
    *(
        Line(f"steps_{kind}", text, "/s", f"steps_per_s.{kind}", f"ratio.steps_{kind}", of)
        for kind, text, of in (
            ("sequential", "steps in one run", "one-commit steps"),
            ("pure", "steps in one run, nine of ten pure", "steps in one run"),
            ("atomic", "atomic steps", "one-commit steps"),
            ("writing", "atomic steps that write", "one-commit steps"),
            ("concurrent", "steps of 200 runs", "batched steps"),
        )
    ),
    Line("resume_1000", "resume of 1,000 steps", "ms", "resume_ms.1000"),
    Line("resume_10000", "resume of 10,000 steps", "ms", "resume_ms.10000"),
    Line("visit_100", "resume of a class at visit 100", "ms", "visit_ms.100"),
    Line("visit_10000", "resume of a class at visit 10,000", "ms", "visit_ms.10000", "ratio.visit_10000", "visit 100"),
    Line("empty", "drain of an empty table", "/s", "growth.empty"),
    *(
        Line(name, f"drain {text}", "/s", f"growth.{name}", f"ratio.growth_{name}", "empty")
        for name, text in (
            ("finished_1m", "beside 1,000,000 finished"),
            ("future_100k", "beside 100,000 future"),
            ("future_1m", "beside 1,000,000 future"),
            ("blocked_10k", "behind 10,000 of a busy key"),
            ("parked_10k", "beside 10,000 that wait"),
        )
    ),
    Line(
        "snapshot", "claim p95 behind a held snapshot", "ms", "growth.snapshot_claim_ms", "ratio.growth_snapshot",
        "the start",
    ),
    Line(
        "long_run", "steps of one run, 9,001st and on", "/s", "growth.long_run_per_s", "ratio.growth_long_run",
        "the first 1,000",
    ),
    Line("rss_idle", "memory of an idle worker", "MB", "rss_mb.idle"),
    Line("rss_peak", "memory of a busy worker, at most", "MB", "rss_mb.peak"),
    Line("rss_parked", "memory of a run that waits", "kB", "rss_mb.parked_run_kb"),
    Line("start", "start to first task", "ms", "start_ms"),
    Line("idle_statements", "statements of an idle worker", "/s", "idle_statements_per_s"),
)  # fmt: skip

EVERYWHERE: Mapping[str, Bound] = {
    "resume_1000": Bound(most=50),
    "resume_10000": Bound(most=500),
    "visit_10000": Bound(most=1.5, on_ratio=True),
    "finished_1m": share(0.9),
    "future_100k": share(0.9),
    "blocked_10k": share(0.5),
    "rss_idle": Bound(most=60),
    # What a process holds is not told more exactly than this.
    "rss_parked": Bound(most=1),
    "start": Bound(most=1000),
}
FIRST_ISSUE: Mapping[str, Mapping[str, Bound]] = {
    "postgresql": {
        **EVERYWHERE,
        "enqueue": share(0.45),
        "enqueue_many": Bound(least=20_000),
        "drain_async": share(0.10),
        "drain_sync": share(0.10),
        "drain_async_2": share(1.5),
        "drain_sync_2": share(1.5),
        "pickup_p50": Bound(most=8),
        "steps_sequential": share(0.6),
        "steps_atomic": share(0.5),
        "steps_concurrent": Bound(least=5_000),
        "idle_statements": Bound(most=2),
    },
    "sqlite": {**EVERYWHERE, "drain_async": Bound(least=2_000), "drain_sync": Bound(least=2_000)},
    "mysql": EVERYWHERE,
}

GOALS_EVERYWHERE: Mapping[str, Bound] = {
    "resume_1000": Bound(most=6),
    "resume_10000": Bound(most=40),
    "visit_10000": Bound(most=1.5, on_ratio=True),
    "finished_1m": share(0.97),
    "future_100k": share(0.95),
    "future_1m": share(0.9),
    "blocked_10k": share(0.8),
    "snapshot": Bound(most=3, on_ratio=True),
    "rss_idle": Bound(most=55),
    "rss_parked": Bound(most=1),
    "start": Bound(most=400),
}
GOALS: Mapping[str, Mapping[str, Bound]] = {
    "postgresql": {
        **GOALS_EVERYWHERE,
        "enqueue": share(0.7),
        "enqueue_many": share(0.6),
        "enqueue_20k": share(0.5),
        "drain_async": share(0.3),
        "drain_sync": share(0.3),
        "drain_failures_history_async": share(0.5),
        "drain_failures_history_sync": share(0.5),
        "drain_async_2": share(1.7),
        "drain_sync_2": share(1.7),
        "pickup_p50": Bound(most=3.5),
        "pickup_p99": Bound(most=7),
        "steps_sequential": share(0.9),
        "steps_pure": share(4),
        "steps_atomic": share(0.8),
        "steps_concurrent": share(0.4),
        "idle_statements": Bound(most=2),
    },
    "sqlite": GOALS_EVERYWHERE,
    "mysql": GOALS_EVERYWHERE,
}
# How quick a drain is to be on SQLite depends on how durable its commits are: 1 is NORMAL, 2 FULL.
SQLITE_DRAINS = {"1": Bound(least=20_000), "2": Bound(least=12_000)}


def judged(results: Results) -> list[dict[str, Any]]:
    """Hold every line against its target and its goal on this brand of database."""
    database = results["database"]
    targets, goals = FIRST_ISSUE[database["vendor"]], dict(GOALS[database["vendor"]])
    if durable := SQLITE_DRAINS.get(database.get("synchronous", "")):
        goals |= {"drain_async": durable, "drain_sync": durable}
    return [_judged(line, targets.get(line.name), goals.get(line.name), results) for line in LINES]


def _judged(line: Line, target: Bound | None, goal: Bound | None, results: Results) -> dict[str, Any]:
    return {
        "line": line.text,
        "figure": at(results, line.figure),
        "unit": line.unit,
        "ratio": at(results, line.ratio),
        "target": line.said(target),
        "met": line.judged(target, results),
        "goal": line.said(goal),
        "reached": line.judged(goal, results),
    }
