"""What the demo shows: lines, and a progress bar that moves on a terminal and is told in plain lines elsewhere."""

from __future__ import annotations

import shutil
from typing import TextIO

BAR_WIDTH = 32
PLAIN_STEP = 10


class Screen:
    """Writes to one stream. Lines and the bar do not get in each other's way."""

    def __init__(self, out: TextIO, *, live: bool) -> None:
        self._out = out
        self._live = live
        self._shown = ""
        self._told = float(-PLAIN_STEP)

    def line(self, text: str = "") -> None:
        """Write a line."""
        self._clear()
        self._out.write(f"{text}\n")
        self._out.flush()

    def bar(self, percent: float, label: str) -> None:
        """Show how far the run is."""
        text = f"{_bar(percent)} {percent:5.1f} %  {label}"
        if self._live:
            self._draw(text)
        elif percent - self._told >= PLAIN_STEP:
            self._told = percent - percent % PLAIN_STEP
            self.line(text)

    def prompt(self, text: str) -> None:
        """Write a question and stay on its line."""
        self._clear()
        self._out.write(text)
        self._out.flush()

    def _draw(self, text: str) -> None:
        text = text[: shutil.get_terminal_size().columns - 1]
        if text != self._shown:
            self._out.write(f"\r{text}{' ' * max(0, len(self._shown) - len(text))}")
            self._out.flush()
            self._shown = text

    def _clear(self) -> None:
        if self._shown:
            # The last bar stays where it was, as a trace of how far the run had come.
            self._out.write("\n")
            self._shown = ""


def _bar(percent: float) -> str:
    filled = round(BAR_WIDTH * max(0.0, min(100.0, percent)) / 100)
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}]"
