"""Whatever a seeded scheduler does to workers, every promise holds at every moment and everything ends well.

The real engine is driven by one scheduler on one of two grounds: ``sqlite``, the real store on a SQLite in memory, and ``model``,
the in-process store with the workers, leases and limits of a queue in plain Python around it. The oracle is the same. The first
proves store and engine together; the second, which costs a tenth, proves the engine and the fence of streams in process, and
tells, where only one of the two breaks a promise, whose fault it is.

A seed that broke a promise once is kept in kept.txt, with its ground, and played each time. ``python -m tests.simulator`` plays
more.
"""

from __future__ import annotations

import logging
import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from django_tasks_durable.primitives import clock
from django_tasks_durable.store import workers

from . import programs
from .ground import Ground
from .on_memory import OnMemory
from .on_sqlite import OnSqlite, in_memory
from .world import HOST, NOON, World

pytestmark = [pytest.mark.databases("sqlite"), pytest.mark.django_db(transaction=True)]

ACTS = 150
FIRST = int(os.environ.get("SIMULATOR_FIRST", 0))
SEEDS = int(os.environ.get("SIMULATOR_SEEDS", 40))
GROUNDS: dict[str, Callable[[random.Random], Ground]] = {"sqlite": OnSqlite, "model": OnMemory}
RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
KEPT = [line.split()[:2] for line in Path(__file__).with_name("kept.txt").read_text().splitlines() if line.strip()]


@pytest.fixture(autouse=True)
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody writes beside the simulated workers, so nobody is given a moment to come through."""
    monkeypatch.setattr(workers, "SETTLING_SECONDS", 0.0)
    monkeypatch.setattr(clock, "host_now", HOST.now)
    logging.disable()
    with in_memory():
        yield
    logging.disable(logging.NOTSET)


def play(seed: int, ground: str, acts: int = ACTS) -> list[str]:
    """Play one seed and return what happened."""
    random.seed(seed)
    programs.DEEDS = programs.Deeds()
    clock.freeze(NOON)
    own = random.Random(seed)
    world = World(seed, own, GROUNDS[ground](own))
    try:
        world.play(acts)
    except BaseException as error:
        error.add_note(f"kept by this line in tests/simulator/kept.txt: {seed} {ground}\n" + "\n".join(world.told))
        raise
    finally:
        clock.unfreeze()
    return world.told


@pytest.mark.parametrize(("seed", "ground"), KEPT)
def test_a_seed_that_broke_a_promise_once(seed: str, ground: str) -> None:
    play(int(seed), ground)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("ground", GROUNDS)
def test_any_seed(ground: str) -> None:
    for seed in range(FIRST, FIRST + SEEDS):
        play(seed, ground)


@pytest.mark.parametrize("ground", GROUNDS)
def test_a_seed_is_played_the_same_each_time(ground: str) -> None:
    first, second = (anonymous(play(3, ground)) for _ in range(2))
    assert len(first) > 40
    assert first == second


def anonymous(told: list[str]) -> list[str]:
    """Call runs by the order in which they came."""
    names: dict[str, str] = {}
    return [RUN_ID.sub(lambda found: names.setdefault(found[0], f"run {len(names)}"), line) for line in told]
