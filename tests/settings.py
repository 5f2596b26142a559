"""Settings for the tests: the example project plus the probe app, on the database that DATABASE_URL names."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from example_project import databases
from example_project.settings import *  # noqa: F403
from example_project.settings import INSTALLED_APPS as EXAMPLE_APPS

DEBUG = False
SECRET_KEY = "only-for-the-tests"
INSTALLED_APPS = [*(app for app in EXAMPLE_APPS if app != "daphne"), "tests.probe"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
TASKS = {
    "default": {
        "BACKEND": "django_tasks_durable.DurableBackend",
        "QUEUES": [],
        "OPTIONS": json.loads(os.environ.get("TEST_OPTIONS", "{}")),
    },
}


def _scratch_database() -> dict[str, Any]:
    """Put a SQLite database into a folder that goes with this process.

    A file, because threads and child processes of a test open connections of their own.
    """
    folder = Path(tempfile.mkdtemp(prefix="durable-tests-"))
    owner = os.getpid()
    # A forked child inherits the exit hook, and must not take the folder from its parent.
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    entry = databases.from_url(f"sqlite:///{folder / 'live.sqlite3'}")
    # The store begins its own writes IMMEDIATE whatever the project says, so the tests leave Django's default.
    del entry["OPTIONS"]["transaction_mode"]
    return {**entry, "TEST": {"NAME": str(folder / "test.sqlite3")}}


def _named_database(url: str) -> dict[str, Any]:
    """Use the server or file that a URL names; the test database beside it carries this process's id."""
    entry = databases.from_url(url)
    name = str(entry["NAME"])
    if "sqlite" in entry["ENGINE"]:
        entry["OPTIONS"].pop("transaction_mode", None)
        return {**entry, "TEST": {"NAME": f"{name}.test-{os.getpid()}"}}
    return {**entry, "TEST": {"NAME": f"test_{name}_{os.getpid()}"}}


DATABASES = {
    "default": _named_database(url) if (url := os.environ.get("DATABASE_URL")) else _scratch_database(),
}
