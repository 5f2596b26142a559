"""The Pythons of this machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def find(version: str) -> str | None:
    """Return an interpreter of a version that really runs and is no virtual environment's, wherever it is."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for candidate in (f"python{version}", *map(str, pyenv.glob(f"{version}.*/bin/python"))):
        look = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2], sys._base_executable)"
        try:
            outcome = subprocess.run([candidate, "-c", look], capture_output=True, text=True, check=False)
        except OSError:
            continue
        found, _, path = outcome.stdout.strip().partition(" ")
        if outcome.returncode == 0 and found == version:
            return path
    return None
