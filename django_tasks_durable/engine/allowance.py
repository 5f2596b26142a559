"""What a run may still write, so that an endless loop in one body does not fill the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import RunTooLong

if TYPE_CHECKING:
    from .slice import Slice


class Allowance:
    """Counts what a run has written, and refuses what its body begins beyond the settings' bounds.

    Nothing is refused half-way: what has begun is written, and the next thing is refused. What the store says of a run by itself
    (claims, retries, its end) is never refused.
    """

    __slots__ = ("_bytes", "_lines", "_slice", "_steps")

    def __init__(self, slice: Slice) -> None:
        self._slice = slice
        self._lines = slice.claimed.last_sequence
        self._steps, self._bytes = slice.replay.measured()

    def step(self, path: str) -> None:
        """Take one more checkpoint. Raise RunTooLong."""
        self._expect("max_run_steps", self._steps, path)
        self._expect("max_run_lines", self._lines, path)
        self._expect("max_run_bytes", self._bytes, path)
        self._steps += 1
        self._lines += 1

    def line(self, path: str, *texts: str) -> None:
        """Take one more line of the timeline. Raise RunTooLong."""
        self._expect("max_run_lines", self._lines, path)
        self._expect("max_run_bytes", self._bytes, path)
        self._lines += 1
        for text in texts:
            self.wrote(text)

    def wrote(self, text: str) -> None:
        """Count a text; the JSON of payloads is ASCII."""
        self._bytes += len(text)

    def _expect(self, option: str, written: int, path: str) -> None:
        most: int | None = getattr(get_options(self._slice.claimed.backend), option)
        if most is not None and written >= most:
            # No handler in the body may overrule it, or the loop went on.
            self._slice.doom = RunTooLong(option, written, most, path)
            raise self._slice.doom
