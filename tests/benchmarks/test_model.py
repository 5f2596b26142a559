"""The model's arithmetic: the narrowest place decides, and an error above nought says that it promised too much."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from django_tasks_durable.management.bench import model

COST = model.Cost(statements=0.04, commits=0.01, wal_bytes=2_000, worker_seconds=100e-6, server_seconds=20e-6)
MACHINE = model.Machine(cores=2, round_trip_seconds=50e-6, commit_seconds=250e-6, wal_bytes_per_s=200e6)


@pytest.mark.parametrize(
    ("cost", "workers", "per_s", "bound_by"),
    [
        ({}, 1, 10_000, "the worker's processor time"),
        ({"commits": 1.0}, 1, 1 / (0.04 * 50e-6 + 250e-6 + 20e-6), "the writer's talk with the database"),
        ({}, 2, 2 / 120e-6, "the cores"),
        ({"wal_bytes": 100_000}, 2, 2_000, "the WAL"),
    ],
)
def test_the_narrowest_place_decides(cost: dict[str, float], workers: int, per_s: float, bound_by: str) -> None:
    found = model.predict(replace(COST, **cost), MACHINE, workers=workers)

    assert found.per_s == pytest.approx(per_s)
    assert found.bound_by == bound_by


def test_steps_that_wait_for_each_other_add_up_what_a_drain_does_at_once() -> None:
    found = model.predict(replace(COST, commits=1.0, statements=1.0), MACHINE, waits=True)

    assert found.per_s == pytest.approx(1 / (100e-6 + 50e-6 + 250e-6 + 20e-6))


def test_more_cores_are_filled_with_more_workers_until_the_wal_is_the_wall() -> None:
    told = {each["cores"]: each for each in model.scale(COST, MACHINE)}

    assert (told[2]["workers"], told[2]["bound_by"]) == (2, "the cores")
    assert told[8]["predicted_per_s"] == pytest.approx(8 / 120e-6, rel=1e-3)
    assert (told[64]["predicted_per_s"], told[64]["bound_by"]) == (100_000, "the WAL")
    assert told[64]["workers"] == 10
    assert told[64]["wal_mb_per_s"] == 200


def test_a_line_says_by_how_much_the_model_promised_too_much() -> None:
    told = model.line("drain", COST, model.predict(COST, MACHINE), 8_000)

    assert told["error"] == 0.25
    assert told["predicted_per_s"] == 10_000


def test_the_table_shows_each_line_with_its_error_and_its_bound() -> None:
    told: dict[str, Any] = {
        "machine": {"cores": 2, "round_trip_seconds": 50e-6, "commit_seconds": 250e-6, "wal_bytes_per_s": 200e6},
        "lines": [model.line("drain", COST, model.predict(COST, MACHINE), 8_000)],
        "scale": list(model.scale(COST, MACHINE)),
    }
    lines = list(model.table(told))

    assert any(line.startswith("drain") and "+25%" in line and line.endswith("processor time") for line in lines)
    assert any(line.strip().startswith("64 cores") and "bound by the WAL" in line for line in lines)
