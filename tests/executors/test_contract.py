"""Each executor keeps the contract that a user's own is held to."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest

from django_tasks_durable.conf import Options
from django_tasks_durable.engine import attempt
from django_tasks_durable.executors.base import Carried, Executor
from django_tasks_durable.executors.event_loop import EventLoopExecutor
from django_tasks_durable.executors.process import ProcessExecutor
from django_tasks_durable.executors.thread import ThreadExecutor
from django_tasks_durable.testing import ExecutorContract
from tests.executors.conftest import House
from tests.faults.harness import run_of
from tests.probe import tasks
from tests.store import acts


@pytest.mark.seed("TR-40", "TR-P8")
class TestThreads(ExecutorContract):
    """Threads."""

    def make_executor(self, slots: int, options: Options) -> Executor:
        return ThreadExecutor(slots, options)


@pytest.mark.seed("TR-40")
class TestEventLoop(ExecutorContract):
    """The event loop."""

    carries_sync, carries_async = False, True

    def make_executor(self, slots: int, options: Options) -> Executor:
        return EventLoopExecutor(slots, options)


@pytest.mark.seed("TR-35", "TR-40", "TR-P8")
class TestChildProcesses(ExecutorContract):
    """Child processes."""

    carries_async = True

    def make_executor(self, slots: int, options: Options) -> Executor:
        return ProcessExecutor(slots, options)


class OneThreadEach:
    """An executor as a user may write it."""

    can_kill = False
    carried: list[str] = []

    def __init__(self, slots: int, options: Options) -> None:
        self.slots = slots
        self._room = threading.Semaphore(slots)

    def start(self) -> None:
        """Have nothing to make ready."""

    def hand_over(self, batch: Iterable[Carried]) -> None:
        """Start a thread that waits for its turn."""
        threading.Thread(target=self._carry_all, args=(list(batch),), daemon=True).start()

    def _carry_all(self, batch: list[Carried]) -> None:
        for carried in batch:
            self._room.acquire()
            if not carried.begin():
                self._room.release()
                continue
            threading.Thread(target=self._carry, args=(carried,), daemon=True).start()

    def _carry(self, carried: Carried) -> None:
        self.carried.append(carried.claimed.task_path)
        carried.ended(attempt.execute(carried.claimed, carried.store, carried.control))
        self._room.release()

    def stop(self) -> None:
        """Let what runs end."""


@pytest.mark.seed("TR-40")
class TestAUsersOwn(ExecutorContract):
    """One thread for each run."""

    def make_executor(self, slots: int, options: Options) -> Executor:
        return OneThreadEach(slots, options)


@pytest.mark.seed("TR-40")
def test_a_worker_carries_with_what_a_dotted_path_names(house: House) -> None:
    run_id = acts.enqueue(tasks.add, 1, 2)
    house.work_off("tests.executors.test_contract.OneThreadEach")
    assert run_of(run_id).result == "3"
