"""Whatever a seeded scheduler does to workers, every promise holds at every moment and everything ends well.

A seed that broke a promise once is kept in kept.txt and played each time. ``python -m tests.simulator`` plays more.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.db import connection

from django_tasks_durable.primitives import clock
from django_tasks_durable.store import workers
from tests.probe.models import Effect

from . import programs
from .world import World, without_sync

pytestmark = [pytest.mark.databases("sqlite"), pytest.mark.django_db(transaction=True)]

ACTS = 150
FIRST = int(os.environ.get("SIMULATOR_FIRST", 0))
SEEDS = int(os.environ.get("SIMULATOR_SEEDS", 40))
KEPT = [int(line.split()[0]) for line in Path(__file__).with_name("kept.txt").read_text().splitlines() if line.strip()]


@pytest.fixture(autouse=True)
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody writes beside the simulated workers, so nobody is given a moment to come through."""
    monkeypatch.setattr(workers, "SETTLING_SECONDS", 0.0)
    without_sync()
    logging.disable()
    yield
    logging.disable(logging.NOTSET)
    clear()


def clear() -> None:
    """Empty every table of the store."""
    with connection.cursor() as cursor:
        for model in reversed(list(apps.get_app_config("durable_tasks").get_models())):
            cursor.execute(f"DELETE FROM {model._meta.db_table}")
    Effect.objects.all().delete()


def play(seed: int, acts: int = ACTS) -> None:
    """Play one seed on an empty store."""
    clear()
    random.seed(seed)
    programs.DEEDS.times.clear()
    clock.freeze()
    world = World(seed)
    try:
        world.play(acts)
    except BaseException as error:
        error.add_note(f"seed {seed} (kept by a line in tests/simulator/kept.txt):\n" + "\n".join(world.told))
        raise
    finally:
        clock.unfreeze()


@pytest.mark.parametrize("seed", KEPT)
def test_a_seed_that_broke_a_promise_once(seed: int) -> None:
    play(seed)


@pytest.mark.timeout(3600)
def test_any_seed() -> None:
    for seed in range(FIRST, FIRST + SEEDS):
        play(seed)
