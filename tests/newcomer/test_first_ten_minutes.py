"""What somebody forgets or misspells in the first ten minutes is told with its cure."""

from __future__ import annotations

import django
import pytest

from tests.newcomer.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.databases("sqlite")]

FRAMEWORK = "django.tasks" if django.VERSION >= (6, 0) else "django_tasks"
IMMEDIATE = f"{FRAMEWORK}.backends.immediate.ImmediateBackend"
APP = 'INSTALLED_APPS += ["django_tasks_durable"]\n'
OURS = "django_tasks_durable.DurableBackend"
RIGHT = APP + f'TASKS = {{"default": {{"BACKEND": "{OURS}"}}}}\n'
TASKS = """
from django_tasks_durable import task

@task
def hello(context, name):
    return name
"""
MISTAKES = {
    "the app is missing": (
        f'TASKS = {{"default": {{"BACKEND": "{OURS}"}}}}\n', "check",
        "Add 'django_tasks_durable' to INSTALLED_APPS and run 'manage.py migrate'.",
    ),
    "TASKS is missing": (
        APP, "check",
        "Add TASKS = {'default': {'BACKEND': 'django_tasks_durable.DurableBackend'}} to the settings.",
    ),
    "TASKS is missing, and a worker is started": (
        APP, "runtasks --batch", "Set TASKS = {'default': {'BACKEND': 'django_tasks_durable.DurableBackend'}}.",
    ),
    "the worker is to serve an alias of another name": (
        RIGHT.replace('"default"', f'"default": {{"BACKEND": "{IMMEDIATE}"}}, "main"'), "runtasks --batch",
        "Give one of 'main' by --backend.",
    ),
    "nothing is migrated": (RIGHT, "check --database default", "Run 'manage.py migrate'."),
    "nothing is migrated, and a worker is started": (RIGHT, "runtasks --batch", "Run 'manage.py migrate'."),
    "nothing is migrated, and somebody looks": (RIGHT, "tasks list", "Run 'manage.py migrate'."),
    "nothing is migrated, and something is enqueued": (RIGHT, "tasks enqueue bare.tasks.hello", "Run 'manage.py migrate'."),
    "an option is misspelt": (RIGHT.replace("}}", ', "OPTIONS": {"max_atempts": 3}}}'), "check", "Did you mean 'max_attempts'?"),
    "an option stands outside of OPTIONS": (
        RIGHT.replace("}}", ', "max_attempts": 3}}'), "check", "Move it into TASKS[...]['OPTIONS']: {'max_attempts': ...}.",
    ),
    "the queues are one word": (RIGHT.replace("}}", ', "QUEUES": "mail"}}'), "check", "Give a list of names"),
    "the tasks lie in a database that there is not": (
        RIGHT.replace("}}", ', "OPTIONS": {"database": "defualt"}}}'), "check", "Did you mean 'default'?",
    ),
    "the database is in memory": (RIGHT + 'DATABASES["default"]["NAME"] = ":memory:"\n', "check", "Give it a file."),
    "the backend is misspelt": (RIGHT.replace("DurableBackend", "DurableBakend"), "check", "Could not find backend"),
    "a channel layer is misspelt": (
        RIGHT.replace("}}", ', "OPTIONS": {"channel_layer": "redis"}}}'), "check", "Name one of its aliases, or None",
    ),
    "the executor is misspelt": (
        RIGHT.replace("}}", ', "OPTIONS": {"executor": "proces"}}}'), "check", "Give 'thread', 'process' or the dotted path",
    ),
    "a command is misspelt": (RIGHT, "tasks lst", "Did you mean 'list'?"),
    "a command's option is misspelt": (RIGHT, "runtasks --concurency 3", "Did you mean --concurrency?"),
    "a task is misspelt": (RIGHT, "tasks enqueue bare.tasks.helo", "Did you mean bare.tasks.hello?"),
}  # fmt: skip


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose addresses lead to a task, as a site's do."""
    project = Project(tmp_path_factory.mktemp("bare"), settings="", tasks=TASKS)
    with (project.folder / "bare" / "urls.py").open("a") as file:
        file.write("\nimport bare.tasks\n")
    return project


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_the_first_ten_minutes_is_told_with_its_cure(bare: Project, mistake: str) -> None:
    settings, command, cure = MISTAKES[mistake]
    (bare.folder / "db.sqlite3").unlink(missing_ok=True)
    if "misspelt" in mistake and command.startswith("tasks enqueue"):
        bare.set(RIGHT)
        bare.run("manage.py", "migrate", "-v0")
    bare.set(settings)
    told = bare.outcome("manage.py", *command.split())
    assert cure in " ".join((told.stdout + told.stderr).split())


def test_the_right_settings_are_silent(bare: Project) -> None:
    (bare.folder / "db.sqlite3").unlink(missing_ok=True)
    bare.set(RIGHT)
    first = bare.outcome("manage.py", "migrate")
    assert (first.returncode, "W041" in first.stderr) == (0, False)
    assert "no issues" in bare.outcome("manage.py", "check").stdout
