"""Attempts in child processes: each may be killed at any moment, and takes nobody with it."""

from __future__ import annotations

import asyncio
import logging

from django_tasks_durable.conf import Options
from django_tasks_durable.exceptions import ExecutorUnfit

from .base import Carried
from .child_process import ChildProcess
from .delivery import Delivery
from .on_loop import OnLoop
from .sentinel import Sentinel

logger = logging.getLogger("django_tasks_durable.executors")
START_TRIES = 4
FIRST_DELAY = 1.0


class ProcessExecutor(OnLoop):
    """Carries tasks of any kind, up to ``slots`` at a time, each in a process of its own that is used again for the next.

    Processes are spawned, never forked: a thread of the worker may hold any lock at that moment. One event loop on one thread
    minds them all; it lives as long as any of them, because the system ends a child with the thread that started it.
    """

    can_kill = True

    def __init__(self, slots: int, options: Options) -> None:
        super().__init__(slots, thread_name="dtd-children")
        self.options = options
        self._idle: list[ChildProcess] = []
        self._is_stopping = False

    def start(self) -> None:
        """See Executor.start(). The first child is started here, so that settings which it cannot read are told at once."""
        self._sentinel = Sentinel()
        super().start()
        asyncio.run_coroutine_threadsafe(self._start_first(), self._loop).result()

    async def _start_first(self) -> None:
        self._idle.append(await self._new_child())

    def _end(self, task: asyncio.Task[None]) -> None:
        super()._end(task)
        if self._is_stopping and not self._under_way:
            self._loop.create_task(self._leave())

    async def _carry(self, carried: Carried) -> None:
        delivery = Delivery(carried, self.options)
        try:
            child = await self._child(delivery)
        except ExecutorUnfit as error:
            logger.error("Run %s: %s", carried.claimed.run_id, error)
            await delivery.never_began(error)
            return
        try:
            await delivery.carry(child)
        except BaseException:
            logger.exception(
                "Run %s fails, for this library itself failed while it carried it; please report this",
                carried.claimed.run_id,
            )
            child.kill()
            delivery.abandon()
        if child.is_alive and delivery.left_clean and not child.is_worn:
            self._idle.append(child)
        else:
            await child.leave()

    async def _child(self, delivery: Delivery) -> ChildProcess:
        """Return a child that waits, or a new one; one that cannot be started is tried again while the run is wanted."""
        while self._idle:
            child = self._idle.pop()
            if child.is_alive:
                return child
        delay = FIRST_DELAY
        for _ in range(START_TRIES - 1):
            try:
                return await self._new_child()
            except ExecutorUnfit as error:
                if self._is_stopping or delivery.is_unwanted:
                    raise
                logger.error("%s It is tried again in %g s.", error, delay)
                await asyncio.sleep(delay)
                delay *= 2
        return await self._new_child()

    async def _new_child(self) -> ChildProcess:
        child = ChildProcess(self.options, self._sentinel)
        await child.start()
        return child

    def _finish(self) -> None:
        self._is_stopping = True
        if not self._under_way:
            self._loop.create_task(self._leave())

    async def _leave(self) -> None:
        idle, self._idle = self._idle, []
        await asyncio.gather(*(child.leave() for child in idle))
        if not self._under_way:
            self._sentinel.leave()
            self._loop.stop()
