"""The way to stop a coroutine while it awaits."""

from __future__ import annotations

import asyncio

from .slice import Slice


class Canceller:
    """Cancels the asyncio task that carries an attempt when the attempt is asked to stop, or takes too long."""

    def __init__(self, slice: Slice) -> None:
        self._slice = slice
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._is_done = False
        self._cancels = 0
        self._cancelling = self._task.cancelling() if self._task is not None else 0

    def __enter__(self) -> None:
        self._slice.control.add_callback(self._stop)
        if self._slice.timeout is not None:
            self._timer = self._loop.call_later(self._slice.timeout, self._time_out)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._is_done = True
        self._slice.control.remove_callback(self._stop)
        if self._timer is not None:
            self._timer.cancel()
        if self._task is None:
            return
        for _ in range(self._cancels):
            self._task.uncancel()
        # Somebody else cancelled the task that carries the attempt: the run is given back.
        self._slice.was_cancelled = self._task.cancelling() > self._cancelling

    async def absorb(self) -> None:
        """Take the cancellation that came too late for the body, so that it does not hit what follows."""
        if self._cancels or self._slice.was_cancelled:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                pass  # The body has ended without it.

    def _stop(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._cancel)
        except RuntimeError:
            pass  # The loop is closed, and the attempt with it.

    def _time_out(self) -> None:
        self._slice.has_timed_out = True
        self._cancel()

    def _cancel(self) -> None:
        if not self._is_done and self._task is not None:
            self._cancels += 1
            self._task.cancel()
