"""The limit that follows from what one unit of work costs: its statements, commits, WAL and processor time, each measured.

Pure arithmetic. A worker computes while its writer talks to the database, so of the two the slower decides; steps that wait for
each other add both up. More workers are bound by the cores, and all of them by the one WAL that their database writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .measuring import rounded, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one run or step costs, on the average of many."""

    statements: float
    commits: float
    wal_bytes: float
    worker_seconds: float
    server_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the database and its machine reach by themselves."""

    cores: int
    round_trip_seconds: float
    commit_seconds: float
    wal_bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """A rate, and what keeps it from being higher."""

    per_s: float
    bound_by: str


def predict(cost: Cost, machine: Machine, *, workers: int = 1, waits: bool = False) -> Prediction:
    """Tell how many units a second so many workers reach; with ``waits`` each unit begins when the one before is committed."""
    talk = cost.statements * machine.round_trip_seconds + cost.commits * machine.commit_seconds + cost.server_seconds
    bounds = {
        "the cores": machine.cores / (cost.worker_seconds + cost.server_seconds),
        "the WAL": machine.wal_bytes_per_s / cost.wal_bytes,
    }
    if waits:
        bounds["the wait for each commit"] = workers / (cost.worker_seconds + talk)
    else:
        bounds["the worker's processor time"] = workers / cost.worker_seconds
        bounds["the writer's talk with the database"] = workers / talk
    bound_by = min(bounds, key=lambda name: bounds[name])
    return Prediction(bounds[bound_by], bound_by)


def workers_to_fill(cost: Cost, machine: Machine) -> int:
    """Tell how many workers it takes until something other than a worker bounds them."""
    workers = 1
    while predict(cost, machine, workers=workers).bound_by not in {"the cores", "the WAL"}:
        workers += 1
    return workers


def line(name: str, cost: Cost, prediction: Prediction, measured: float) -> dict[str, Any]:
    """Say what was predicted beside what was measured; an error above 0 says that the model promised too much."""
    return {
        "line": name,
        **{f"{key}_per_unit": rounded(value) for key, value in asdict(cost).items()},
        "predicted_per_s": rounded(prediction.per_s),
        "bound_by": prediction.bound_by,
        "measured_per_s": rounded(measured),
        "error": rounded(prediction.per_s / measured - 1),
    }


def scale(cost: Cost, machine: Machine) -> Iterator[dict[str, Any]]:
    """Say what more cores would reach with the same WAL."""
    for cores in sorted({machine.cores, 8, 16, 64}):
        larger = Machine(**{**asdict(machine), "cores": cores})
        workers = workers_to_fill(cost, larger)
        prediction = predict(cost, larger, workers=workers)
        yield {
            "cores": cores,
            "workers": workers,
            "predicted_per_s": rounded(prediction.per_s),
            "bound_by": prediction.bound_by,
            "wal_mb_per_s": rounded(prediction.per_s * cost.wal_bytes / 1e6),
        }


def table(told: Mapping[str, Any]) -> Iterator[str]:
    """Write the model as lines of text."""
    machine = told["machine"]
    yield ""
    yield (
        f"The model: a round trip takes {machine['round_trip_seconds'] * 1e6:.0f} us, a commit "
        f"{machine['commit_seconds'] * 1e6:.0f} us more, the WAL takes {machine['wal_bytes_per_s'] / 1e6:.0f} MB/s or more"
    )
    yield (
        f"{'':<26}{'statements':>11}{'commits':>9}{'WAL':>9}{'worker':>9}{'server':>9}"
        f"{'predicted':>12}{'measured':>12}{'error':>7}  bound by"
    )
    for each in told["lines"]:
        yield (
            f"{each['line']:<26}{each['statements_per_unit']:>11.3f}{each['commits_per_unit']:>9.3f}"
            f"{each['wal_bytes_per_unit']:>7.0f} B{each['worker_seconds_per_unit'] * 1e6:>6.0f} us"
            f"{each['server_seconds_per_unit'] * 1e6:>6.0f} us{shown(each['predicted_per_s'], '/s'):>12}"
            f"{shown(each['measured_per_s'], '/s'):>12}{each['error']:>+7.0%}  {each['bound_by']}"
        )
    yield ""
    yield "By the model, one database and workers that fill the cores, asynchronous runs:"
    for each in told["scale"]:
        yield (
            f"{each['cores']:>6} cores{each['workers']:>6} workers{shown(each['predicted_per_s'], '/s'):>14}, "
            f"{each['wal_mb_per_s']:,.0f} MB/s of WAL, bound by {each['bound_by']}"
        )
