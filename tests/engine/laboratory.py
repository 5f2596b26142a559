"""What the engine's tests work with: tasks made on the spot, runs driven slice by slice, a store that dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import fields
from typing import Any
from uuid import UUID

from django_tasks_durable.authoring.options import DEFAULTS, TaskOptions
from django_tasks_durable.authoring.tasks import DurableTask, _wants_context, register
from django_tasks_durable.engine.attempt import AttemptControl, aexecute, execute, is_async
from django_tasks_durable.exceptions import LeaseLost
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.writes import AtomicBody, ClaimedRun, Outcome, RunStore, Verdict, Write
from django_tasks_durable.store.memory import MemoryStore
from django_tasks_durable.store.memory_run import MemoryRun


def local(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Make a task of a function inside a test, which Django would refuse because it cannot be imported."""

    def decorate(function: Callable[..., Any]) -> DurableTask[..., Any]:
        made = object.__new__(DurableTask)
        values = {
            "func": function,
            "takes_context": _wants_context(function),
            "options": TaskOptions(**options) if options else DEFAULTS,
        }
        for each in fields(DurableTask):
            object.__setattr__(made, each.name, values.get(each.name, each.default))
        register(made)
        return made

    return decorate if function is None else decorate(function)


class Bench:
    """One run of one task in a store, driven slice by slice."""

    def __init__(
        self, task: DurableTask[..., Any], *args: Any, store: MemoryStore | None = None, **created: Any
    ) -> None:
        self.task = task
        self.store = store or MemoryStore()
        created.setdefault("max_attempts", task.options.max_attempts or 1)
        created.setdefault("code_version", task.options.version)
        self.run_id: UUID = self.store.create(
            task.module_path, codec.encode(list(args)), options=task.options.snapshot(), **created
        )
        self.control = AttemptControl()

    @property
    def run(self) -> MemoryRun:
        """The run as it stands."""
        return self.store.find(self.run_id)

    @property
    def result(self) -> Any:
        """What the run returned."""
        assert self.run.result is not None, self.run.errors
        return codec.decode(self.run.result)

    @property
    def checkpoints(self) -> dict[str, Any]:
        """The values of the checkpoints by path; failed ones as None."""
        return {
            path: None if record.failed else codec.decode(record.value) for path, record in self.run.checkpoints.items()
        }

    def claim(self) -> ClaimedRun:
        """Claim the run, which must be due."""
        claimed = self.store.claim(self.run_id)
        assert claimed is not None, f"the run is not due: {self.run}"
        return claimed

    def slice(self, *, store: RunStore | None = None, claimed: ClaimedRun | None = None) -> Outcome | None:
        """Claim the run and drive it to the end of one slice; return what was handed over."""
        claimed = claimed or self.claim()
        self.control = AttemptControl()
        store = store or self.store
        if is_async(self.task):
            ending = asyncio.run(aexecute(claimed, store, self.control))
        else:
            ending = execute(claimed, store, self.control)
        if ending is None:
            return None
        try:
            ending[1].result()
        except LeaseLost:
            return None
        return ending[0]

    def answer(self, value: Any, **options: Any) -> Bench:
        """Answer the open question."""
        self.store.resume(self.run_id, value, **options)
        return self

    def error(self) -> dict[str, Any]:
        """The last error of the run."""
        import json

        errors: list[dict[str, Any]] = json.loads(self.run.errors)
        return errors[-1]


class Killed(BaseException):
    """The process that ran the attempt is gone."""


class MortalStore(MemoryStore):
    """A store that keeps what nobody waits for until the next commit, as the writer does, and dies when told.

    ``deaths`` names commits by their number: there the process dies, just after the commit (True) or before it (False).
    """

    def __init__(self, deaths: Mapping[int, bool] | None = None) -> None:
        super().__init__()
        self.deaths = dict(deaths or {})
        self.commits = 0
        self.is_dead = False
        self._kept: list[Write] = []

    def submit(self, write: Write) -> None:
        self._expect_alive()
        self._kept.append(write)

    def commit(self, write: Write) -> Future[Verdict]:
        self._expect_alive()
        self.commits += 1
        if self.deaths.get(self.commits) is False:
            self._die()
        kept, self._kept = self._kept, []
        for each in kept:
            MemoryStore.submit(self, each)
        done = super().commit(write)
        if self.deaths.get(self.commits) is True:
            self._die()
        return done

    def atomic(self, claimed: ClaimedRun, perform: AtomicBody[Any]) -> Any:
        self._expect_alive()
        self.commits += 1
        kept, self._kept = self._kept, []
        for each in kept:
            MemoryStore.submit(self, each)
        if self.deaths.get(self.commits) is False:
            perform()
            self._die()
        value = super().atomic(claimed, perform)
        if self.deaths.get(self.commits) is True:
            self._die()
        return value

    def revive(self, run_id: UUID) -> None:
        """Let another worker take over."""
        self.is_dead = False
        self._kept.clear()
        self.lose(run_id)

    def _die(self) -> None:
        self.is_dead = True
        raise Killed

    def _expect_alive(self) -> None:
        if self.is_dead:
            raise Killed
