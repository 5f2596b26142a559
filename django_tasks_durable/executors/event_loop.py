"""Attempts of asynchronous tasks, all on one event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Iterable

from django_tasks_durable.engine import attempt

from .base import Carried, announce_start

logger = logging.getLogger("django_tasks_durable.executors")


class EventLoopExecutor:
    """Carries coroutine tasks, up to ``slots`` at a time, on a loop in a thread of its own."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._loop = asyncio.new_event_loop()
        self._under_way: set[asyncio.Task[None]] = set()
        self._waiting: deque[Carried] = deque()
        self._thread = threading.Thread(target=self._run, name="dtd-loop", daemon=True)
        self._thread.start()

    def hand_over(self, batch: Iterable[Carried]) -> None:
        """See Executor.hand_over()."""
        self._loop.call_soon_threadsafe(self._take, list(batch))

    def stop(self) -> None:
        """See Executor.stop()."""
        self._loop.call_soon_threadsafe(self._finish)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _take(self, batch: list[Carried]) -> None:
        self._waiting.extend(batch)
        self._begin_more()

    def _begin_more(self) -> None:
        while self._waiting and len(self._under_way) < self.slots:
            carried = self._waiting.popleft()
            if not carried.begin():
                continue
            task = self._loop.create_task(self._carry(carried))
            # The loop itself holds its tasks weakly.
            self._under_way.add(task)
            task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._begin_more()

    async def _carry(self, carried: Carried) -> None:
        announce_start(carried.claimed)
        try:
            carried.ended(await attempt.aexecute(carried.claimed, carried.store, carried.control))
        except BaseException:
            logger.exception("Run %s ended in a way that nobody expected", carried.claimed.run_id)
            carried.ended(None)

    def _finish(self) -> None:
        if self._under_way:
            self._loop.call_later(0.05, self._finish)
        else:
            self._loop.stop()
