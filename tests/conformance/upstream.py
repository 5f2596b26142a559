"""Where upstream's ``tests/tasks`` come from, and what is replaced in them so that they are about our backend.

They come from the sdist of the installed Django, or of Django 6.1 for Django 5.2, whose backport ships no tests; there
the names of the backport take the place of Django's. ``DJANGO_TESTS`` names the ``tests`` folder of a source instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django

HAS_CORE_TASKS = django.VERSION >= (6, 0)
LATEST_LINE = "django>=6.1,<6.2"
FOLDER = "tests/tasks/"

# Old text, new text. Each must be found somewhere, so that a change upstream is noticed here.
ABOUT_US = [
    ("django.tasks.backends.dummy.DummyBackend", "tests.conformance.backends.AsDummy"),
    ("django.tasks.backends.immediate.ImmediateBackend", "tests.conformance.backends.AsImmediate"),
    (
        "from django.tasks.backends.dummy import DummyBackend",
        "from tests.conformance.backends import AsDummy as DummyBackend",
    ),
    (
        "from django.tasks.backends.immediate import ImmediateBackend",
        "from tests.conformance.backends import AsImmediate as ImmediateBackend",
    ),
    # Ours asks the database, which SimpleTestCase forbids.
    ("SimpleTestCase", "TestCase"),
    # No app at all would be available to the tests, ours included.
    ("available_apps = []", 'available_apps = ["django_tasks_durable"]'),
]
# The backport's names and words for the same things.
PORTED = [
    (
        "from django.tasks import Task, default_task_backend, task, task_backends",
        "from django_tasks import default_task_backend, task, task_backends\nfrom django_tasks.base import Task",
    ),
    ("django.tasks", "django_tasks"),
    ("InvalidTaskBackend", "InvalidTaskBackendError"),
    ("InvalidTask,", "InvalidTaskError,"),
    ("import InvalidTask\n", "import InvalidTaskError\n"),
    ("Backend does not support async Tasks.", "Backend does not support async tasks."),
]
# Python 3.12 says otherwise what an abstract class lacks.
BEFORE_PYTHON_3_12 = [("without an implementation for abstract method 'enqueue'", "with abstract method enqueue")]


class Unobtainable(Exception):
    """Upstream's tests could not be had."""


@contextmanager
def prepared() -> Iterator[Path]:
    """Give a folder that holds upstream's tests as the package ``tasks``, made to be about our backend."""
    sources = _replaced(_sources())
    with tempfile.TemporaryDirectory(prefix="durable-conformance-") as folder:
        package = Path(folder) / "tasks"
        package.mkdir()
        for name, text in sources.items():
            (package / name).write_text(text)
        yield Path(folder)


def _replaced(sources: dict[str, str]) -> dict[str, str]:
    replacements = [
        *ABOUT_US,
        *([] if HAS_CORE_TASKS else PORTED),
        *(BEFORE_PYTHON_3_12 if sys.version_info < (3, 12) else []),
    ]
    unused = dict(replacements)
    for name, text in sources.items():
        for old, new in replacements:
            if old in text:
                unused.pop(old, None)
                text = text.replace(old, new)
        sources[name] = text
    if unused:
        raise Unobtainable(f"upstream's tests no longer hold {', '.join(map(repr, unused))}: what has changed there?")
    return sources


def _sources() -> dict[str, str]:
    if folder := os.environ.get("DJANGO_TESTS"):
        return {path.name: path.read_text() for path in sorted((Path(folder) / "tasks").glob("*.py"))}
    with tarfile.open(_sdist()) as archive:
        members = {member.name.partition("/")[2]: member for member in archive.getmembers()}
        found = {name: member for name, member in members.items() if name.startswith(FOLDER) and name.endswith(".py")}
        return {
            name.removeprefix(FOLDER): stream.read().decode()
            for name, member in found.items()
            if (stream := archive.extractfile(member)) is not None
        }


def _sdist() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "django-tasks-durable" / "sdists"
    cache.mkdir(parents=True, exist_ok=True)
    version = django.get_version() if HAS_CORE_TASKS else "6.1*"
    known = sorted(cache.glob(f"[dD]jango-{version}.tar.gz"))
    return known[-1] if known else _download(cache)


def _download(cache: Path) -> Path:
    wanted = f"django=={django.get_version()}" if HAS_CORE_TASKS else LATEST_LINE
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    done = subprocess.run(
        [*command, "--ignore-requires-python", "--dest", str(cache), wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    found = sorted(cache.glob("[dD]jango-*.tar.gz"))
    if done.returncode or not found:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise Unobtainable(f"pip could not download the sdist of {wanted} ({last}); DJANGO_TESTS can name a folder")
    return found[-1]
