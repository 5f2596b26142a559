"""What a worker believes of what a child says, and who may start one at all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from django_tasks_durable.conf import Options
from django_tasks_durable.exceptions import ExecutorUnfit
from django_tasks_durable.executors import wire
from django_tasks_durable.executors.base import factory_of
from django_tasks_durable.executors.confines import passed_environment
from django_tasks_durable.executors.delivery import Delivery
from django_tasks_durable.executors.process import ProcessExecutor
from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.writes import Started, Succeeded
from django_tasks_durable.testing.carried import CarriedRun
from tests.executors.conftest import House
from tests.probe import tasks


class SilentChild:
    """A child that says only what the test makes it say."""

    streams: tuple[Any, ...] = ()
    carried = 0
    megabytes = 0.0

    def __init__(self) -> None:
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.said: list[wire.Frame] = []
        self.listener: Any = None

    def say(self, **frame: Any) -> None:
        self.said.append(frame)

    def kill(self) -> None:
        if not self.exited.done():
            self.exited.set_result(-9)


async def carry(*frames: wire.Frame) -> CarriedRun:
    """Let a child say these frames about a run."""
    run = CarriedRun(tasks.echo, 1)
    child = SilentChild()
    delivery = Delivery(run, Options())
    under_way = asyncio.ensure_future(delivery.carry(child))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    for frame in frames:
        child.listener({**frame, "write": frame["write"](run)} if "write" in frame else frame)
    await asyncio.wait_for(under_way, 10)
    return run


def write_of(kind: Any, **facts: Any) -> Any:
    return lambda run: wire.told_write(kind(lease=run.claimed.lease, **facts))


async def test_what_a_child_hands_over_reaches_the_run() -> None:
    run = await carry(
        {"say": "write", "number": 0, "write": write_of(Started)},
        {"say": "write", "number": 0, "write": write_of(Succeeded, result="1")},
        {"say": "ended", "clean": True},
    )
    assert run.outcome == Succeeded(lease=run.claimed.lease, result="1")


@pytest.mark.seed("TR-35")
async def test_a_fact_for_another_run_kills_the_child_and_is_not_taken() -> None:
    def foreign(run: CarriedRun) -> Any:
        lease = Lease(run_id=CarriedRun(tasks.echo).claimed.run_id, token=1)
        return wire.told_write(Succeeded(lease=lease, result="1"))

    run = await carry({"say": "write", "number": 0, "write": foreign})
    assert run.outcome is None
    assert run.writes == []


@pytest.mark.parametrize(
    "frame",
    [
        {"say": "write", "number": 0, "write": lambda run: ["Popen", ["rm"]]},
        {"say": "write", "number": 0, "write": lambda run: ["Succeeded", [1, 2]]},
        {"say": "write", "number": 0, "write": lambda run: ["Succeeded", [wire.told(run.claimed.lease), 5, None]]},
        {"nothing": 1},
    ],
)
async def test_what_makes_no_sense_kills_the_child(frame: wire.Frame) -> None:
    run = await carry(frame)
    assert run.outcome is None
    assert run.writes == []


def test_a_child_is_given_what_every_program_needs_and_what_is_listed() -> None:
    everything = {"PATH": "/bin", "PYTHONPATH": "x", "AWS_KEY": "1", "AWS_SECRET": "2", "DATABASE_URL": "3"}
    assert passed_environment(everything, []) == {"PATH": "/bin", "PYTHONPATH": "x"}
    assert set(passed_environment(everything, ["AWS_*"])) == {"PATH", "PYTHONPATH", "AWS_KEY", "AWS_SECRET"}
    assert passed_environment(everything, ["*"]) == everything


def test_settings_that_a_child_cannot_read_stop_the_worker(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "no_such_settings")
    executor = ProcessExecutor(1, replace(Options(), child_environment=("DATABASE_URL",)))
    with pytest.raises(ExecutorUnfit, match="child_environment") as caught:
        executor.start()
    assert "No module named 'no_such_settings'" in str(caught.value)
    executor.stop()


@pytest.mark.seed("TR-40")
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("proces", "Did you mean 'process'"),
        ("no.such.Executor", "No module named 'no'"),
        ("collections.OrderedDict", "no Executor"),
    ],
)
def test_an_executor_that_cannot_be_used_is_told_by_name(name: str, problem: str) -> None:
    with pytest.raises(ExecutorUnfit, match=problem):
        factory_of(name)


def test_a_worker_that_has_outgrown_its_memory_stops(house: House) -> None:
    worker = house.worker("thread", max_memory_mb=1)
    assert worker._is_done()
    assert not house.worker("thread", max_memory_mb=1_000_000)._is_done()
