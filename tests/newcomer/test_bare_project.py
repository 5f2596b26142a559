"""A bare `django-admin startproject` plus our app and TASKS is enough."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.newcomer.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.databases("sqlite")]

ROOT = Path(__file__).resolve().parent.parent.parent
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


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, tasks=TASKS)


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
