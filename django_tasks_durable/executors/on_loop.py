"""What executors have in common that mind their attempts on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable

from .base import Carried


class OnLoop(ABC):
    """Begins what it is handed as slots become free; how one is carried, and how it all ends, is the executor's own."""

    def __init__(self, slots: int, *, thread_name: str) -> None:
        self.slots = slots
        self._loop = asyncio.new_event_loop()
        self._under_way: set[asyncio.Task[None]] = set()
        self._waiting: deque[Carried] = deque()
        self._thread = threading.Thread(target=self._run, name=thread_name, daemon=True)

    def start(self) -> None:
        """See Executor.start()."""
        self._thread.start()

    def hand_over(self, batch: Iterable[Carried]) -> None:
        """See Executor.hand_over()."""
        self._loop.call_soon_threadsafe(self._take, list(batch))

    def stop(self) -> None:
        """See Executor.stop()."""
        self._loop.call_soon_threadsafe(self._finish)

    @abstractmethod
    async def _carry(self, carried: Carried) -> None:
        """Carry one attempt to its end."""

    @abstractmethod
    def _finish(self) -> None:
        """Stop the loop once nothing is under way."""

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
