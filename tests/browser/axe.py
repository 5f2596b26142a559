"""axe-core, which finds what keeps people with screen readers or without a mouse from using a page."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = "axe-core@4"
SCRIPT = Path("node_modules") / "axe-core" / "axe.min.js"
INSTALL_SECONDS = 120
GRAVE = ("serious", "critical")


class Absent(RuntimeError):
    """axe-core is not here and cannot be fetched; the message says how to bring it."""


@cache
def source(folder: Path) -> str:
    """Return the script: that of this folder's node_modules, else npm's, put into ``folder``. Raise Absent."""
    if (ROOT / SCRIPT).is_file():
        return (ROOT / SCRIPT).read_text()
    npm = shutil.which("npm")
    if npm is None:
        raise Absent("axe-core is left out: npm install --no-save axe-core, or install npm so that it is fetched.")
    command = [
        npm,
        "install",
        "--no-save",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
        str(folder),
        PACKAGE,
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    except (subprocess.SubprocessError, OSError) as error:
        raise Absent(f"axe-core is left out: npm could not fetch it ({error}).") from error
    return (folder / SCRIPT).read_text()


def violations(page: Page, script: str) -> list[str]:
    """Return what is grave about a page, one line for each thing and place."""
    page.evaluate(script)
    found = page.evaluate("() => axe.run({ resultTypes: ['violations'] })")
    return [
        f"{each['impact']} {each['id']}: {node['target']} {node['html'][:120]}"
        for each in found["violations"]
        if each["impact"] in GRAVE
        for node in each["nodes"]
    ]
