"""Seats in this process's memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from django_tasks_durable.authoring.tasks import options_of
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import ControlFlow, RunNotFound
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.portable import PortableRun
from django_tasks_durable.primitives.status import LEASED
from django_tasks_durable.primitives.writes import ClaimedRun, Outcome, RunStore, Verdict

from . import memory_transfers
from .admission import admitted
from .memory import MemoryStore
from .seats import Call, DrivenStore, Glance, Seat, asker


class MemorySeat(Seat):
    """See Seat. Who comes takes over: nobody else can be alive and have been left behind."""

    is_blocking = False

    def __init__(self, store: MemoryStore, run_id: UUID) -> None:
        self.store = store
        self.run_id = run_id

    def look(self) -> Glance:
        return self.store.glance(self.run_id)

    def family(self) -> list[Glance]:
        return [self.store.glance(run.id) for run in self.store.family(self.run_id)]

    def of_child(self, run_id: UUID) -> MemorySeat:
        return MemorySeat(self.store, run_id)

    def claim(self) -> ClaimedRun | None:
        if self.look().status in LEASED:
            self.store.lose(self.run_id)
        return self.store.claim(self.run_id)

    def sit(self, claimed: ClaimedRun, stop: Callable[[ControlFlow], None]) -> RunStore:
        return self.store

    def snapshot(self) -> dict[str, Any]:
        return self.store.snapshot(self.run_id)

    def ended(self, claimed: ClaimedRun, outcome: Outcome, verdict: Verdict) -> None:
        pass

    def take_out(self) -> PortableRun:
        return memory_transfers.take_out(self.store, self.run_id)

    def leave(self) -> None:
        pass

    def abandon(self) -> None:
        pass


class MemorySeats(DrivenStore):
    """A MemoryStore as a DrivenStore."""

    is_blocking = False

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    def begin(self, call: Call) -> MemorySeat:
        task, options, settings = call.task, options_of(call.task), get_options(call.task.backend)
        limit = settings.max_payload_bytes

        def insert(metadata: Mapping[str, Any]) -> UUID:
            return self.store.create(
                task.module_path,
                codec.encode(list(call.args), where="args", limit=limit),
                codec.encode(dict(call.kwargs), where="kwargs", limit=limit),
                name=call.name or options.keys.run_id,
                keys=options.keys,
                options=options.snapshot(),
                metadata=codec.encode(dict(metadata), where="metadata", limit=limit),
                backend=task.backend,
                queue_name=task.queue_name,
                priority=task.priority,
                max_attempts=options.max_attempts or settings.max_attempts,
                code_version=options.version,
            )

        calls = ((call.args, call.kwargs),)
        run_id = admitted(task, calls, insert, lambda run_id: (run_id,), backend_alias=task.backend)
        return MemorySeat(self.store, run_id)

    def find_seat(self, name: UUID | str) -> MemorySeat:
        return MemorySeat(self.store, self.store.find(name).id)

    def receive(self, run: PortableRun, name: str | None) -> MemorySeat:
        return MemorySeat(self.store, memory_transfers.bring_in(self.store, run, name=name))

    def answer(self, name: UUID | str, task_path: str, value: Any, token: str | None, path: str | None) -> MemorySeat:
        found = self.store.find(name)
        if found.task_path != task_path:
            raise RunNotFound(name)
        seat = MemorySeat(self.store, found.id)
        asked, token = asker(seat.family(), token, path)
        self.store.resume(asked, value, token=token)
        return seat
