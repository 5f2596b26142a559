"""A bare `django-admin startproject` plus our app and TASKS is enough."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.databases("sqlite")]

ROOT = Path(__file__).resolve().parent.parent.parent
SETTINGS = """
INSTALLED_APPS += ["django_tasks_durable"]
TASKS = {"default": {"BACKEND": "django_tasks_durable.DurableBackend"}}
"""
TASKS = """
import django
from django_tasks_durable import task

if django.VERSION >= (6, 0):
    from django.tasks import task as stock_task
else:
    from django_tasks import task as stock_task


@task
def count(context, number):
    for done in range(number):
        context.step(f"number {done}", str, done)
        context.progress(100 * (done + 1) / number, f"counted {done + 1}")
    return number


@stock_task()
def shout(word):
    return word.upper()
"""
ENQUEUE = """
from bare.tasks import count, shout
print(json.dumps([count.enqueue(3).id, shout.enqueue("ready").id]))
"""
LOOK = """
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from bare.tasks import count, shout

counted, shouted = count.get_result(sys.argv[1]), shout.get_result(sys.argv[2])
client = Client(SERVER_NAME="localhost")
client.force_login(User.objects.create_superuser("ann"))
page = client.get(reverse("admin:durable_tasks_taskrun_change", args=[counted.id]))
print(json.dumps({
    "results": [[result.status, result.return_value] for result in (counted, shouted)],
    "code": page.status_code,
    "page": page.content.decode(),
}))
"""


class Project:
    """A project made by `django-admin startproject`, in a folder of its own."""

    def __init__(self, folder: Path, *, settings: str = SETTINGS, tasks: str = TASKS) -> None:
        self.folder = folder
        self.run("-m", "django", "startproject", "bare", ".")
        with (folder / "bare" / "settings.py").open("a") as file:
            file.write(settings)
        (folder / "bare" / "tasks.py").write_text(tasks)

    def run(self, *arguments: str) -> str:
        """Run Python there, and return what it printed."""
        environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
        environment |= {"PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "bare.settings"}
        if arguments[:2] == ("-m", "django"):
            del environment["DJANGO_SETTINGS_MODULE"]
        outcome = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert outcome.returncode == 0, f"{outcome.stdout}\n{outcome.stderr}"
        return outcome.stdout

    def program(self, code: str, *arguments: str) -> object:
        """Run a program with the project set up, and return the JSON that it printed."""
        return json.loads(self.run("-c", f"import django, json, sys; django.setup()\n{code}", *arguments))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_bare_project_needs_the_app_and_the_setting_and_nothing_else(project: Project) -> None:
    project.run("manage.py", "migrate", "-v0")
    project.run("manage.py", "check")
    ids = project.program(ENQUEUE)
    assert isinstance(ids, list)
    project.run("manage.py", "runtasks", "--batch")
    seen = project.program(LOOK, *ids)
    assert isinstance(seen, dict)
    assert seen["results"] == [["SUCCESSFUL", 3], ["SUCCESSFUL", "READY"]]
    assert seen["code"] == 200
    for shown in ("100", "counted 3", "number 0", "number 1", "number 2"):
        assert shown in seen["page"]


def test_neither_a_broker_nor_its_client_comes_with_it() -> None:
    packaging = ConfigParser()
    packaging.read(ROOT / "setup.cfg")
    hard = packaging["options"]["install_requires"].split()
    names = {requirement.partition(">")[0].partition("[")[0] for requirement in hard}
    assert names == {"Django", "channels", "djangorestframework", "psycopg", "cronsim", "django-tasks"}
