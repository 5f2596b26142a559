"""Attempts of asynchronous tasks, all on one event loop."""

from __future__ import annotations

import logging

from django_tasks_durable.conf import Options
from django_tasks_durable.engine import attempt

from .base import Carried, announce_start
from .on_loop import OnLoop

logger = logging.getLogger("django_tasks_durable.executors")


class EventLoopExecutor(OnLoop):
    """Carries coroutine tasks, up to ``slots`` at a time, on a loop in a thread of its own."""

    can_kill = False

    def __init__(self, slots: int, options: Options) -> None:
        super().__init__(slots, thread_name="dtd-loop")

    async def _carry(self, carried: Carried) -> None:
        announce_start(carried.claimed)
        try:
            carried.ended(await attempt.aexecute(carried.claimed, carried.store, carried.control))
        except BaseException:
            logger.exception(
                "Run %s fails, for this library itself failed while it carried it; please report this",
                carried.claimed.run_id,
            )
            carried.ended(None)

    def _finish(self) -> None:
        if self._under_way:
            self._loop.call_later(0.05, self._finish)
        else:
            self._loop.stop()
