"""Find the browser that this machine has, and start it. Nothing is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

VARIABLE = "CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# It speaks to our own site only: what it would fetch, report or update by itself is switched off.
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
]


class Absent(RuntimeError):
    """There is no browser here, or nothing to drive it with; the message says how to bring it."""


def path() -> str:
    """Return the executable that CHROMIUM names, else the one on this machine. Raise Absent."""
    if find_spec("playwright") is None:
        raise Absent('Playwright is not installed: pip install -e ".[browser]"')
    wanted = os.environ.get(VARIABLE)
    found = next((place for name in ([wanted] if wanted else NAMES) if (place := shutil.which(name))), None)
    if found is None:
        looked = f"{VARIABLE} names {wanted}, which is not there" if wanted else "Chromium is not installed"
        raise Absent(f"{looked}: apt-get install chromium, or name one by {VARIABLE}=/path/to/chromium")
    return found


@contextmanager
def started(*, headed: bool = False) -> Iterator[Browser]:
    """Start the browser; it is gone at the end of the block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path(), headless=not headed, args=SWITCHES)
        try:
            yield browser
        finally:
            browser.close()
