"""What a run of measurements says: one object for machines, one table for people."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from typing import Any

import django

from django_tasks_durable import __version__
from django_tasks_durable.conf import get_options

from . import curves, model, targets
from .limits import NAMES
from .measuring import Measuring, rounded, shown

# The drains beside others that a target or a goal is about; the curves have them all.
BESIDE = ("finished_1m", "future_100k", "future_1m", "blocked_10k", "parked_10k")


def results_of(measuring: Measuring) -> dict[str, Any]:
    """Gather the medians under their public keys; what was not measured is None."""
    figure, ratio = measuring.figure, measuring.ratio
    found: dict[str, Any] = {
        "machine": machine(measuring.scale),
        "database": {**measuring.limits.facts(), "direct": get_options("default").direct},
        "limit": {name: rounded(figure(name)) for name in NAMES},
        "enqueue_per_s": rounded(figure("enqueue")),
        "enqueue_many_per_s": rounded(figure("enqueue_many")),
        "enqueue_20k_per_s": rounded(figure("enqueue_20k")),
        "drain_per_s": _drained(measuring, "drain"),
        "drain_failures_history_per_s": _drained(measuring, "drain_failures_history"),
        "claim_per_s": rounded(figure("claim")),
        "pickup_ms": {place: rounded(figure(f"pickup.{place}")) for place in ("p50", "p95", "p99")},
        "steps_per_s": {
            kind: rounded(figure(f"steps.{kind}")) for kind in ("sequential", "pure", "concurrent", "atomic", "writing")
        },
        "resume_ms": {count: rounded(figure(f"resume.{count}")) for count in ("100", "1000", "10000")},
        "visit_ms": {count: rounded(figure(f"visit.{count}")) for count in ("100", "1000", "10000")},
        "growth": {
            "empty": rounded(figure("growth.empty")),
            **{key: rounded(figure(f"growth.{key}")) for key in BESIDE},
            "snapshot_claim_ms": rounded(figure("snapshot.end")),
            "long_run_per_s": rounded(figure("long_run.last")),
            "curves": curves.of(measuring),
        },
        "plans": measuring.plans,
        "model": measuring.model,
        "rss_mb": {
            **{key: rounded(figure(f"rss.{key}")) for key in ("idle", "peak")},
            "parked_run_kb": rounded(figure("rss.parked_run")),
        },
        "idle_statements_per_s": rounded(figure("idle_statements")),
        "start_ms": rounded(figure("start")),
        "ratio": {
            "enqueue": rounded(ratio("enqueue")),
            "enqueue_many": rounded(ratio("enqueue_many")),
            "enqueue_20k": rounded(ratio("enqueue_20k")),
            "claim": rounded(ratio("claim")),
            "drain_async": rounded(ratio("drain.async.1")),
            "drain_sync": rounded(ratio("drain.sync.1")),
            "drain_failures_history_async": rounded(ratio("drain_failures_history.async.1")),
            "drain_failures_history_sync": rounded(ratio("drain_failures_history.sync.1")),
            "drain_async_2_workers": _quotient(figure("drain.async.2"), figure("drain.async.1")),
            "drain_sync_2_workers": _quotient(figure("drain.sync.2"), figure("drain.sync.1")),
            "steps_sequential": rounded(ratio("steps.sequential")),
            "steps_pure": _quotient(figure("steps.pure"), figure("steps.sequential")),
            "steps_concurrent": rounded(ratio("steps.concurrent")),
            "steps_atomic": rounded(ratio("steps.atomic")),
            "steps_writing": rounded(ratio("steps.writing")),
            "visit_10000": _quotient(figure("visit.10000"), figure("visit.100")),
            **{f"growth_{key}": _quotient(figure(f"growth.{key}"), figure("growth.empty")) for key in BESIDE},
            "growth_snapshot": _quotient(figure("snapshot.end"), figure("snapshot.start")),
            "growth_long_run": _quotient(figure("long_run.last"), figure("long_run.first")),
        },
        "samples": {key: [rounded(value) for value in values] for key, values in _samples(measuring)},
    }
    found["targets"] = targets.judged(found)
    return found


def _samples(measuring: Measuring) -> Iterator[tuple[str, list[float]]]:
    """Give every ratio that was taken, and each sample of what has none, so that a later run can tell a fall from noise."""
    empty = measuring.figure("growth.empty")
    for key, values in measuring.samples.items():
        if key in measuring.ratios:
            yield key, measuring.ratios[key]
        elif key.startswith("growth.") and empty:
            yield key, [value / empty for value in values]
        elif key not in NAMES:
            yield key, values


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
            yield f"  {name.removesuffix('_per_s').replace('_', ' '):<34}{shown(rate, '/s'):>14}"
    yield ""
    yield f"{'':<36}{'measured':>14}  {'ratio':>6}  {'target':<29}{'met':<5}{'goal':<29}reached"
    for line in results["targets"]:
        if line["figure"] is not None:
            yield _row(line)
    yield from curves.table(results["growth"]["curves"])
    if results["model"]:
        yield from model.table(results["model"])


def _row(line: Mapping[str, Any]) -> str:
    said = {True: "yes", False: "NO", None: ""}
    ratio = "" if line["ratio"] is None else f"{line['ratio']:.3f}"
    bounds = f"{line['target']:<29}{said[line['met']]:<5}{line['goal']:<29}{said[line['reached']]}"
    return f"{line['line']:<36}{shown(line['figure'], line['unit']):>14}  {ratio:>6}  {bounds}".rstrip()


def _drained(measuring: Measuring, key: str) -> dict[str, dict[str, float | None]]:
    return {
        kind: {workers: rounded(measuring.figure(f"{key}.{kind}.{workers}")) for workers in ("1", "2")}
        for kind in ("async", "sync")
    }


def _quotient(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else rounded(one / other)
