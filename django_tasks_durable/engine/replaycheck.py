"""Whether today's code still follows the histories that its runs have left: a rehearsal of each, without any effect."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from django_tasks_durable.authoring.tasks import get_task, options_of
from django_tasks_durable.exceptions import DurableError, UnknownTask, VersionMismatch
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.portable import PortableRun
from django_tasks_durable.primitives.writes import ClaimedRun

from . import versions
from .attempt import is_async
from .context import DurableContext
from .drive import arun, run
from .rehearsal import Rehearsal, rehearse

State = Literal["ok", "drift", "version", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """How a run's history and the code get on. ``message`` says what is wrong."""

    run_id: UUID
    task_path: str
    state: State
    message: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether the run would be parked."""
        return self.state in ("drift", "version")


def check(run_id: UUID, stored: PortableRun) -> Finding:
    """Replay a run against the code of this process. What stands between its primitives runs; nothing of them does."""
    claimed = _claimed(run_id, stored)
    try:
        task = get_task(stored.task_path)
        history = stored.history
        if stored.code_version != options_of(task).version:
            history = versions.history_led(claimed, task, history)
        doom = _doom(Rehearsal(claimed, history, DurableContext))
    except UnknownTask as error:
        return Finding(run_id, stored.task_path, "unknown", str(error))
    except VersionMismatch as error:
        return Finding(run_id, stored.task_path, "version", str(error))
    if doom is None:
        return Finding(run_id, stored.task_path, "ok")
    return Finding(run_id, stored.task_path, "drift", str(doom))


def _doom(rehearsal: Rehearsal) -> DurableError | None:
    if is_async(get_task(rehearsal.claimed.task_path)):
        asyncio.run(_arehearsed(rehearsal))
    else:
        run(rehearsal, rehearse(rehearsal))
        while rehearsal.bodies:
            rehearsal.bodies.pop().close()
    return rehearsal.doom


async def _arehearsed(rehearsal: Rehearsal) -> None:
    await arun(rehearsal, rehearse(rehearsal))
    while rehearsal.bodies:
        await rehearsal.bodies.pop().aclose()


def _claimed(run_id: UUID, stored: PortableRun) -> ClaimedRun:
    now = stored.read_at or clock.host_now()
    return ClaimedRun(
        lease=Lease(run_id=run_id, token=0),
        task_path=stored.task_path,
        backend=stored.backend,
        queue_name=stored.queue_name,
        priority=stored.priority,
        args=stored.args,
        kwargs=stored.kwargs,
        options=stored.options,
        attempts=stored.attempts,
        max_attempts=stored.max_attempts,
        crashes=0,
        inbox=stored.inbox,
        enqueued_at=stored.enqueued_at or now,
        run_after=stored.run_after,
        started_at=stored.started_at,
        now_at=now,
        claimed_monotonic=clock.monotonic(),
        worker_ids=stored.worker_ids,
        errors=stored.errors,
        code_version=stored.code_version,
    )
