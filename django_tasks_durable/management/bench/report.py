"""What a run of measurements says: one object for machines, one table for people."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from typing import Any

import django

from django_tasks_durable import __version__
from django_tasks_durable.conf import get_options

from .limits import NAMES
from .measuring import Measuring
from .targets import Target, targets_for


def results_of(measuring: Measuring) -> dict[str, Any]:
    """Gather the medians under their public keys; what was not measured is None."""
    figure, ratio = measuring.figure, measuring.ratio
    found: dict[str, Any] = {
        "machine": machine(measuring.scale),
        "database": {**measuring.limits.facts(), "direct": get_options("default").direct},
        "limit": {name: _rounded(figure(name)) for name in NAMES},
        "enqueue_per_s": _rounded(figure("enqueue")),
        "enqueue_many_per_s": _rounded(figure("enqueue_many")),
        "drain_per_s": _drained(measuring, "drain"),
        "drain_failures_history_per_s": _drained(measuring, "drain_failures_history"),
        "pickup_ms": {place: _rounded(figure(f"pickup.{place}")) for place in ("p50", "p95", "p99")},
        "steps_per_s": {
            kind: _rounded(figure(f"steps.{kind}")) for kind in ("sequential", "concurrent", "atomic", "writing")
        },
        "resume_ms": {count: _rounded(figure(f"resume.{count}")) for count in ("1000", "10000")},
        "visit_ms": {count: _rounded(figure(f"visit.{count}")) for count in ("100", "10000")},
        "growth": {
            key: _rounded(figure(f"growth.{key}")) for key in ("empty", "finished_1m", "future_100k", "blocked_10k")
        },
        "plans": measuring.plans,
        "rss_mb": {key: _rounded(figure(f"rss.{key}")) for key in ("idle", "peak")},
        "idle_statements_per_s": _rounded(figure("idle_statements")),
        "start_ms": _rounded(figure("start")),
        "ratio": {
            "enqueue": _rounded(ratio("enqueue")),
            "enqueue_many": _rounded(ratio("enqueue_many")),
            "drain_async": _rounded(ratio("drain.async.1")),
            "drain_sync": _rounded(ratio("drain.sync.1")),
            "drain_failures_history_async": _rounded(ratio("drain_failures_history.async.1")),
            "drain_failures_history_sync": _rounded(ratio("drain_failures_history.sync.1")),
            "drain_async_2_workers": _quotient(figure("drain.async.2"), figure("drain.async.1")),
            "drain_sync_2_workers": _quotient(figure("drain.sync.2"), figure("drain.sync.1")),
            "steps_sequential": _rounded(ratio("steps.sequential")),
            "steps_concurrent": _rounded(ratio("steps.concurrent")),
            "steps_atomic": _rounded(ratio("steps.atomic")),
            "steps_writing": _rounded(ratio("steps.writing")),
            "visit_10000": _quotient(figure("visit.10000"), figure("visit.100")),
            "growth_finished_1m": _quotient(figure("growth.finished_1m"), figure("growth.empty")),
            "growth_future_100k": _quotient(figure("growth.future_100k"), figure("growth.empty")),
            "growth_blocked_10k": _quotient(figure("growth.blocked_10k"), figure("growth.empty")),
        },
    }
    found["targets"] = [_judged(target, found) for target in targets_for(found["database"]["vendor"])]
    return found


def plans(results: Mapping[str, Any]) -> Iterator[str]:
    """Write how claims were planned, beside what."""
    for beside, lines in results["plans"].items():
        yield f"A claim, growth.{beside}:"
        yield from (f"  {line}" for line in lines)


def machine(scale: float) -> dict[str, Any]:
    """Say what the figures were taken on; absolute ones move with it."""
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "django": django.get_version(),
        "version": __version__,
        "scale": scale,
    }


def table(results: Mapping[str, Any]) -> Iterator[str]:
    """Write the results as lines of text."""
    here, database = results["machine"], dict(results["database"])
    yield (
        f"{database.pop('vendor')} {database.pop('version')} "
        f"({', '.join(f'{key} {value}' for key, value in database.items())}); Python {here['python']}, "
        f"Django {here['django']}, {here['cores']} cores, load {here['load']}, scale {here['scale']:g}"
    )
    yield ""
    yield "What the database reaches by itself:"
    for name, rate in results["limit"].items():
        if rate is not None:
            yield f"  {name.removesuffix('_per_s').replace('_', ' '):<34}{_shown(rate, '/s'):>14}"
    yield ""
    yield f"{'':<36}{'measured':>14}  {'ratio':>6}  {'target of the first issue':<32}"
    for line in results["targets"]:
        if line["figure"] is not None:
            yield _row(line)


def _row(line: Mapping[str, Any]) -> str:
    verdict = {True: "met", False: "MISSED", None: ""}[line["met"]]
    ratio = "" if line["ratio"] is None else f"{line['ratio']:.3f}"
    figure = _shown(line["figure"], line["unit"])
    return f"{line['line']:<36}{figure:>14}  {ratio:>6}  {line['target']:<32}{verdict}".rstrip()


def _judged(target: Target, results: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "line": target.line,
        "figure": target.figure(results),
        "unit": target.unit,
        "ratio": target.ratio(results),
        "target": target.bound(),
        "met": target.is_met(results),
    }


def _drained(measuring: Measuring, key: str) -> dict[str, dict[str, float | None]]:
    return {
        kind: {workers: _rounded(measuring.figure(f"{key}.{kind}.{workers}")) for workers in ("1", "2")}
        for kind in ("async", "sync")
    }


def _quotient(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else _rounded(one / other)


def _rounded(value: float | None) -> float | None:
    """Keep what a figure of this kind can honestly say: four digits."""
    return None if value is None else float(f"{value:.4g}")


def _shown(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:,.1f} {unit}"
