"""A project made by `django-admin startproject`, in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SETTINGS = """
INSTALLED_APPS += ["django_tasks_durable"]
TASKS = {"default": {"BACKEND": "django_tasks_durable.DurableBackend"}}
"""


class Project:
    """A bare project, with some lines added to its settings and a tasks.py beside them."""

    def __init__(self, folder: Path, *, settings: str = SETTINGS, tasks: str) -> None:
        self.folder = folder
        self.run("-m", "django", "startproject", "bare", ".")
        self._made = (folder / "bare" / "settings.py").read_text()
        self.set(settings)
        (folder / "bare" / "tasks.py").write_text(tasks)

    def set(self, lines: str) -> None:
        """Let these lines follow what startproject wrote into the settings."""
        (self.folder / "bare" / "settings.py").write_text(f"{self._made}\n{lines}")

    def outcome(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python there."""
        environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
        # Settings that are written twice within a second and have one length look the same to a cache of bytecode.
        environment |= {
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "bare.settings",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if arguments[:2] == ("-m", "django"):
            del environment["DJANGO_SETTINGS_MODULE"]
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def run(self, *arguments: str) -> str:
        """Run Python there, which must go well, and return what it printed."""
        outcome = self.outcome(*arguments)
        assert outcome.returncode == 0, f"{outcome.stdout}\n{outcome.stderr}"
        return outcome.stdout

    def program(self, code: str, *arguments: str) -> object:
        """Run a program with the project set up, and return the JSON that it printed."""
        return json.loads(self.run("-c", f"import django, json, sys; django.setup()\n{code}", *arguments))
