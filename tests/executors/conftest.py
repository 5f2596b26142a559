"""A worker in this process, whose children work on this test's database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from django_tasks_durable.conf import Options, get_options
from django_tasks_durable.worker.loop import Worker, WorkerSettings
from tests.faults.harness import wait_until
from tests.probe import journal

PASSED = ("DATABASE_URL", "PROBE_*")


class House:
    """Starts workers, and sees to it that they are gone."""

    def __init__(self) -> None:
        self._started: list[tuple[Worker, threading.Thread]] = []

    def work_off(self, executor: str = "process", **options: Any) -> Worker:
        """Let a worker do all that is due, and return it when it is gone."""
        worker = self.worker(executor, batch=True, **options)
        worker.run()
        return worker

    def worker(
        self, executor: str = "process", *, batch: bool = False, max_memory_mb: int | None = None, **options: Any
    ) -> Worker:
        """Make a worker; options are those of the alias."""
        chosen: Options = replace(
            get_options("default"), **{"child_environment": PASSED, "child_grace_seconds": 0.5, **options}
        )
        settings = WorkerSettings(
            executor=executor,
            process_concurrency=options.get("process_concurrency", 1),
            batch=batch,
            max_memory_mb=max_memory_mb,
            poll_seconds=0.1,
            shutdown_seconds=5,
        )
        return Worker(chosen, settings)

    def start(self, executor: str = "process", **options: Any) -> Worker:
        """Start a worker on a thread of its own; it is stopped at the end of the test."""
        worker = self.worker(executor, **options)
        thread = threading.Thread(target=worker.run)
        self._started.append((worker, thread))
        thread.start()
        return worker

    def close(self) -> None:
        """Stop all."""
        for worker, thread in self._started:
            worker.stop()
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture
def house(child_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[House]:
    """A place for workers whose children find this test's database and journal."""
    for name in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "PYTHONPATH"):
        monkeypatch.setenv(name, child_environment[name])
    monkeypatch.setenv(journal.VARIABLE, str(tmp_path / "journal"))
    opened = House()
    yield opened
    opened.close()


@pytest.fixture
def wait_deed(house: House, tmp_path: Path) -> Callable[..., None]:
    """Wait until a task has done something."""

    def wait(name: str, count: int = 1) -> None:
        wait_until(lambda: journal.times(tmp_path / "journal", name) >= count, f"{count} x {name}")

    return wait
