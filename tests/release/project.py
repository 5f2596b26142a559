"""The project of somebody who has only the wheel: run in a folder of its own, by the Python of its own environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SETTINGS = """
INSTALLED_APPS += ["rest_framework", "django_tasks_durable"]
STATIC_ROOT = BASE_DIR / "static-root"
LANGUAGE_CODE = "de"
TASKS = {"default": {"BACKEND": "django_tasks_durable.DurableBackend"}}
"""
TASKS = """
from dataclasses import dataclass
from django_tasks_durable import Workflow, task, transition

class Greeting(Workflow):
    @dataclass
    class State:
        said: str = ""

    @transition(start=True)
    def greet(self) -> None:
        self.state.said = self.step("greet", str, "hello")

@task
def count(context, number):
    return [context.step(f"number {done}", str, done) for done in range(number)]
"""
ENQUEUE = """
from bare.tasks import count
print(count.enqueue(3).id)
"""
LOOK = """
import json, sys
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import translation
from bare.tasks import count
import django, django_tasks_durable

result = count.get_result(sys.argv[1])
client = Client(SERVER_NAME="localhost")
client.force_login(User.objects.create_superuser("ann"))
page = client.get(reverse("admin:durable_tasks_taskrun_change", args=[result.id]))
print(json.dumps({
    "status": result.status, "value": result.return_value, "page": page.status_code,
    "german": translation.gettext("Durable tasks"), "django": django.__version__, "from": django_tasks_durable.__file__,
}))
"""


def run(*arguments: str) -> str:
    """Run Python here; leave with what it said when it fails."""
    outcome = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if outcome.returncode:
        sys.exit(f"{' '.join(arguments)[:200]}\n{outcome.stdout}{outcome.stderr}")
    return outcome.stdout


def shell(program: str, *arguments: str) -> str:
    """Run a program with Django set up."""
    begin = "import os, django\nos.environ['DJANGO_SETTINGS_MODULE'] = 'bare.settings'\ndjango.setup()\n"
    return run("-c", begin + program, *arguments)


def main() -> None:
    """Make the project, migrate, enqueue, work, look."""
    run("-m", "django", "startproject", "bare", ".")
    with Path("bare/settings.py").open("a") as file:
        file.write(SETTINGS)
    Path("bare/tasks.py").write_text(TASKS)
    run("manage.py", "check")
    run("manage.py", "migrate", "-v0")
    run("manage.py", "makemigrations", "--check", "--dry-run")
    run("manage.py", "collectstatic", "--noinput", "-v0")
    run_id = shell(ENQUEUE).strip()
    run("manage.py", "runtasks", "--batch")
    seen = json.loads(shell(LOOK, run_id))
    assert (seen["status"], seen["value"], seen["page"]) == ("SUCCESSFUL", ["0", "1", "2"], 200), seen
    assert seen["german"] != "Durable tasks", "the translations are missing"
    assert "site-packages" in seen["from"], seen["from"]
    assert list(Path("static-root/django_tasks_durable").rglob("*.js")), "the static files are missing"
    print(f"Django {seen['django']}")


if __name__ == "__main__":
    main()
