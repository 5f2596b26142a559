"""What somebody forgets or misspells in the first ten minutes is told with its cure."""

from __future__ import annotations

import django
import pytest

from tests.newcomer.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.databases("sqlite")]

FRAMEWORK = "django.tasks" if django.VERSION >= (6, 0) else "django_tasks"
IMMEDIATE = f"{FRAMEWORK}.backends.immediate.ImmediateBackend"
FERNET = "django_tasks_durable.encryption.FernetCodec"
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
    "the database does not answer": (
        RIGHT + 'DATABASES["default"]["NAME"] = "/there/is/no/such/folder/db.sqlite3"\n', "check --database default",
        "does not answer: unable to open database file HINT: Start its server, or mend its entry of DATABASES.",
    ),
    "the backend is misspelt": (RIGHT.replace("DurableBackend", "DurableBakend"), "check", "Could not find backend"),
    "the backend is of a module that there is not": (
        RIGHT.replace(OURS, "django_tasks_durable.backends.DurableBackend"), "check", f"Give '{OURS}'.",
    ),
    "a worker is to serve a queue that no task can be in": (
        RIGHT.replace("}}", ', "QUEUES": ["default", "mail"]}}'), "runtasks --batch --queue-name mial", "Did you mean 'mail'?",
    ),
    "the layer's package is not installed": (
        RIGHT + 'CHANNEL_LAYERS = {"default": {"BACKEND": "chanels_redis.core.RedisChannelLayer"}}\n', "check",
        "pip install 'django-tasks-durable[redis]'",
    ),
    "times have no zone": (RIGHT + "USE_TZ = False\n", "check", "Set USE_TZ = True."),
    "a router sends the tables elsewhere": (
        RIGHT + 'DATABASE_ROUTERS = ["bare.routers.Elsewhere"]\n', "check", "Let allow_migrate() return True for the app",
    ),
    "a key is none": (
        RIGHT.replace("}}", f', "OPTIONS": {{"payload_codec": "{FERNET}", "payload_keys": ["x"]}}}}}}'), "check",
        "Make keys with Fernet.generate_key()",
    ),
    "a channel layer is misspelt": (
        RIGHT.replace("}}", ', "OPTIONS": {"channel_layer": "redis"}}}'), "check", "Name one of its aliases, or None",
    ),
    "the executor is misspelt": (
        RIGHT.replace("}}", ', "OPTIONS": {"executor": "proces"}}}'), "check", "Give 'thread', 'process' or the dotted path",
    ),
    "a command is misspelt": (RIGHT, "tasks lst", "Did you mean 'list'?"),
    "a command's option is misspelt": (RIGHT, "runtasks --concurency 3", "Did you mean --concurrency?"),
    "a task is misspelt": (RIGHT, "tasks enqueue bare.tasks.helo", "Did you mean bare.tasks.hello?"),
    "an argument is missing": (RIGHT, "tasks enqueue bare.tasks.hello", "missing a required argument: 'name'. Give them by --args"),
}  # fmt: skip
# What is written behind the tasks of a module, and what `check` says.
IN_THE_CODE = {
    "the context has another name": ("@task\ndef lost(ctx, name): pass", "Name it 'context' to be given one."),
    "a queue is given without its word": ('@task("mail")\ndef lost(): pass', "such as @task(queue_name='mail')"),
    "the queues are a list": ('@task(queue_name=["mail"])\ndef lost(): pass', "queue_name=['mail']: give the name of one queue."),
    "the queue is not named": (
        '@task(queue_name="mail")\ndef lost(): pass', "TASKS['default']['QUEUES'] has 'default'. Add it there",
    ),
    "the alias is not there": ('@task(backend="other")\ndef lost(): pass', "TASKS has 'default'."),
    "tries have the name that Celery gives them": ("@task(max_retries=3)\ndef lost(): pass", "Here it is 'max_attempts'."),
    "tries are a word": ('@task(max_attempts="3")\ndef lost(): pass', "max_attempts='3': give a whole number from 1."),
    "a timeout is a word": ('@task(timeout="5m")\ndef lost(): pass', "timeout='5m': give the seconds"),
    "a schedule is only its text": ('@task(schedule="0 6 * * *")\ndef lost(): pass', "schedule='0 6 * * *': Give cron(...)"),
    "a task is made inside of a function": (
        "def outer():\n    @task\n    def lost(): pass\nouter()", "must be defined at a module level",
    ),
}  # fmt: skip
# What somebody types in a shell, and what Python answers.
TYPED = {
    "another library's delay()": ('hello.delay("Ada")', "Here it is hello.enqueue(...)."),
    "another library's apply_async()": ("hello.apply_async()", "Here it is hello.using(...).enqueue(...)."),
    "another library's countdown": ("hello.using(countdown=3)", "Here it is 'run_after'."),
    "an instant is a number": ("hello.using(run_after=5)", "run_after=5: give a datetime, or a timedelta from now."),
    "an instant has no zone": (
        "import datetime; hello.using(run_after=datetime.datetime(2030, 1, 1))",
        "has no time zone: give timezone.now() + timedelta(...).",
    ),
    "a queue is not named": ('hello.using(queue_name="mail").enqueue("Ada")', "Add it there; an empty list allows every name."),
    "an argument is no JSON": ("hello.enqueue(object())", "args[0] cannot be stored"),
    "a model is not saved": (
        "from django.contrib.auth.models import User; hello.enqueue(User())",
        "this auth.User is not saved, so it cannot be referred to; save it first",
    ),
    "many calls are no calls": ("hello.enqueue_many([1, 2])", "enqueue_many() takes pairs such as [((1,), {}), ((2,), {})]"),
    "nobody works": ('hello.enqueue("Ada").wait(timeout=0.1)', "is a worker running (manage.py runtasks) that serves its queue?"),
    "a task is of the shell": (
        "from django_tasks_durable import task\n@task\ndef lost(): pass\nlost.enqueue()", "Move it to a tasks.py.",
    ),
}  # fmt: skip
ROUTERS = """
class Elsewhere:
    def allow_migrate(self, db, app_label, **hints):
        return app_label != "durable_tasks"
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose addresses lead to a task, as a site's do."""
    project = Project(tmp_path_factory.mktemp("bare"), settings="", tasks=TASKS)
    with (project.folder / "bare" / "urls.py").open("a") as file:
        file.write("\nimport bare.tasks\n")
    (project.folder / "bare" / "routers.py").write_text(ROUTERS)
    return project


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_the_first_ten_minutes_is_told_with_its_cure(bare: Project, mistake: str) -> None:
    settings, command, cure = MISTAKES[mistake]
    (bare.folder / "db.sqlite3").unlink(missing_ok=True)
    if mistake in ("a task is misspelt", "an argument is missing"):
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


@pytest.mark.parametrize("mistake", IN_THE_CODE)
def test_a_mistake_in_a_tasks_module_is_told_with_its_cure(bare: Project, mistake: str) -> None:
    code, cure = IN_THE_CODE[mistake]
    module = bare.folder / "bare" / "tasks.py"
    bare.set(RIGHT)
    module.write_text(f"{TASKS}\n{code}\n")
    try:
        told = bare.outcome("manage.py", "check")
    finally:
        module.write_text(TASKS)
    assert cure in " ".join((told.stdout + told.stderr).split())


@pytest.fixture
def migrated(bare: Project) -> Project:
    """The project as it ought to be."""
    bare.set(RIGHT)
    bare.run("manage.py", "migrate", "-v0")
    return bare


def typed(project: Project, code: str) -> str:
    """Return what Python says of a line in a shell."""
    told = project.outcome("-c", f"import django; django.setup()\nfrom bare.tasks import hello\n{code}")
    assert told.returncode != 0
    return " ".join(told.stderr.split())


@pytest.mark.parametrize("mistake", TYPED)
def test_a_mistake_in_a_call_is_told_with_its_cure(migrated: Project, mistake: str) -> None:
    code, cure = TYPED[mistake]
    assert cure in typed(migrated, code)


def test_an_enqueue_before_the_tables_says_what_makes_them(bare: Project) -> None:
    (bare.folder / "db.sqlite3").unlink(missing_ok=True)
    bare.set(RIGHT)
    told = typed(bare, 'hello.enqueue("Ada")')
    assert "no such table: durable_tasks_taskrun" in told
    assert "run 'manage.py migrate'" in told


def test_a_time_without_a_zone_means_the_projects_zone_where_there_are_none(bare: Project) -> None:
    bare.set(RIGHT + 'USE_TZ = False\nTIME_ZONE = "Europe/Paris"\n')
    bare.run("manage.py", "migrate", "-v0")
    told = bare.program(
        "import datetime; from bare.tasks import hello\n"
        "result = hello.using(run_after=datetime.datetime(2040, 7, 1, 12)).enqueue('Ada')\n"
        "print(json.dumps(str(result.snapshot().run_after)))"
    )
    assert str(told).startswith("2040-07-01 10:00"), "it is kept as UTC"
