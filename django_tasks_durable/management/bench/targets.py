"""What the figures are held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Results = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the report: what is measured, its figure and unit, and the bound on ``judged``, if there is one.

    ``judged`` is the figure itself or its ratio. A bound of at least ``least`` or at most ``most``.
    """

    line: str
    unit: str
    figure: Callable[[Results], float | None]
    ratio: Callable[[Results], float | None] = lambda results: None
    of: str = ""
    least: float | None = None
    most: float | None = None
    on_ratio: bool = False

    def judged(self, results: Results) -> float | None:
        """Return the number that the bound is about."""
        return self.ratio(results) if self.on_ratio else self.figure(results)

    def bound(self) -> str:
        """Say the bound, empty without one."""
        limit, sign = (self.least, ">=") if self.least is not None else (self.most, "<=")
        if limit is None:
            return ""
        return f"{sign} {limit:g} of {self.of}" if self.on_ratio else f"{sign} {limit:,g} {self.unit}"

    def is_met(self, results: Results) -> bool | None:
        """Tell whether the bound holds; None when there is none or nothing was measured."""
        judged = self.judged(results)
        if judged is None or (self.least is None and self.most is None):
            return None
        return judged >= self.least if self.least is not None else judged <= (self.most or 0.0)


def _at(*path: str) -> Callable[[Results], float | None]:
    def find(results: Results) -> float | None:
        found: Any = results
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found if isinstance(found, (int, float)) else None

    return find


def _drains(**bound: Any) -> list[Target]:
    return [
        Target(
            f"drain, {kind}, 1 worker",
            "/s",
            _at("drain_per_s", kind, "1"),
            _at("ratio", f"drain_{kind}"),
            "limit",
            **bound,
        )
        for kind in ("async", "sync")
    ]


def _second_workers(**bound: Any) -> list[Target]:
    return [
        Target(
            f"drain, {kind}, 2 workers",
            "/s",
            _at("drain_per_s", kind, "2"),
            _at("ratio", f"drain_{kind}_2_workers"),
            "one worker",
            **bound,
        )
        for kind in ("async", "sync")
    ]


def _drains_of_failures() -> list[Target]:
    return [
        Target(
            f"drain, {kind}, only failures told",
            "/s",
            _at("drain_failures_history_per_s", kind, "1"),
            _at("ratio", f"drain_failures_history_{kind}"),
            "limit",
        )
        for kind in ("async", "sync")
    ]


def _enqueues(one: Mapping[str, Any], many: Mapping[str, Any]) -> list[Target]:
    return [
        Target("enqueue one by one", "/s", _at("enqueue_per_s"), _at("ratio", "enqueue"), "insert commits", **one),
        Target("enqueue in bulk", "/s", _at("enqueue_many_per_s"), _at("ratio", "enqueue_many"), "bulk rows", **many),
    ]


def _pickups(**bound: Any) -> list[Target]:
    return [
        Target("pick-up, half of them", "ms", _at("pickup_ms", "p50"), **bound),
        Target("pick-up, 95 of 100", "ms", _at("pickup_ms", "p95")),
        Target("pick-up, 99 of 100", "ms", _at("pickup_ms", "p99")),
    ]


def _steps(**bounds: Mapping[str, Any]) -> list[Target]:
    return [
        Target(
            line,
            "/s",
            _at("steps_per_s", kind),
            _at("ratio", f"steps_{kind}"),
            of,
            **bounds.get(kind, {}),
        )
        for kind, line, of in (
            ("sequential", "steps in one run", "one-commit steps"),
            ("atomic", "atomic steps", "one-commit steps"),
            ("writing", "atomic steps that write", "one-commit steps"),
            ("concurrent", "steps of 200 runs", "batched steps"),
        )
    ]


EVERYWHERE = [
    *_drains_of_failures(),
    Target("resume of 1,000 steps", "ms", _at("resume_ms", "1000"), most=50),
    Target("resume of 10,000 steps", "ms", _at("resume_ms", "10000"), most=500),
    Target("resume of a class at visit 100", "ms", _at("visit_ms", "100")),
    Target(
        "resume of a class at visit 10,000", "ms", _at("visit_ms", "10000"), _at("ratio", "visit_10000"),
        "visit 100", most=1.5, on_ratio=True,
    ),
    Target("drain of an empty table", "/s", _at("growth", "empty")),
    Target(
        "drain beside 1,000,000 finished", "/s", _at("growth", "finished_1m"), _at("ratio", "growth_finished_1m"),
        "empty", least=0.9, on_ratio=True,
    ),
    Target(
        "drain beside 100,000 future", "/s", _at("growth", "future_100k"), _at("ratio", "growth_future_100k"),
        "empty", least=0.9, on_ratio=True,
    ),
    Target(
        "drain behind 10,000 of a busy key", "/s", _at("growth", "blocked_10k"), _at("ratio", "growth_blocked_10k"),
        "empty", least=0.5, on_ratio=True,
    ),
    Target("memory of an idle worker", "MB", _at("rss_mb", "idle"), most=60),
    Target("memory of a busy worker, at most", "MB", _at("rss_mb", "peak")),
    Target("start to first task", "ms", _at("start_ms"), most=1000),
]  # fmt: skip
IDLE = Target("statements of an idle worker", "/s", _at("idle_statements_per_s"), most=2)

FIRST_ISSUE: Mapping[str, Sequence[Target]] = {
    "postgresql": [
        *_enqueues({"least": 0.45, "on_ratio": True}, {"least": 20_000}),
        *_drains(least=0.10, on_ratio=True),
        *_second_workers(least=1.5, on_ratio=True),
        *_pickups(most=8),
        *_steps(
            sequential={"least": 0.6, "on_ratio": True},
            atomic={"least": 0.5, "on_ratio": True},
            concurrent={"least": 5_000},
        ),
        *EVERYWHERE,
        IDLE,
    ],
    "sqlite": [
        *_enqueues({}, {}),
        *_drains(least=2_000),
        *_second_workers(),
        *_pickups(),
        *_steps(),
        *EVERYWHERE,
    ],
    "mysql": [*_enqueues({}, {}), *_drains(), *_second_workers(), *_pickups(), *_steps(), *EVERYWHERE],
}


def targets_for(vendor: str) -> Sequence[Target]:
    """Return the lines that a database is judged by."""
    return FIRST_ISSUE[vendor]
