"""The tasks of the README do what the README says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.newcomer.project import Project
from tests.pages import blocks

pytestmark = [pytest.mark.slow, pytest.mark.databases("sqlite")]

ENQUEUE = """
from bare.tasks import generate_report, greet
print(json.dumps([generate_report.enqueue(7).id, greet.enqueue("Ann").id]))
"""
ANSWER = """
from bare.tasks import greet
result = greet.get_result(sys.argv[1])
before = result.state
result.resume({"message": "how do you do"})
print(json.dumps(before))
"""
LOOK = """
from bare.tasks import generate_report, greet
from django_tasks_durable.snapshots import read
reported, greeted = generate_report.get_result(sys.argv[1]), greet.get_result(sys.argv[2])
print(json.dumps({
    "report": [reported.status, reported.state],
    "greeting": [greeted.status, greeted.return_value],
    "paths": sorted(checkpoint.path for checkpoint in read.checkpoints(reported.run_id, using="default")),
}))
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A bare project whose settings and tasks.py are what the README shows."""
    readme = [block for block in blocks() if block.page.name == "README.md" and block.language == "python"]
    settings = "".join(block.code for block in readme if block.word == "settings")
    tasks = "\n\n".join(block.code for block in readme if block.word == "")
    project = Project(tmp_path, settings=settings.replace("INSTALLED_APPS =", "INSTALLED_APPS +="), tasks=tasks)
    project.run("manage.py", "migrate", "-v0")
    return project


def test_a_report_sleeps_and_a_greeting_is_answered(project: Project) -> None:
    ids = project.program(ENQUEUE)
    assert isinstance(ids, list)
    project.run("manage.py", "runtasks", "--batch")
    assert project.program(ANSWER, ids[1]) == "waiting"
    project.run("manage.py", "runtasks", "--batch")
    seen = project.program(LOOK, *ids)
    assert isinstance(seen, dict)
    assert seen["greeting"] == ["SUCCESSFUL", {"message": "how do you do"}]
    # Both steps are behind it, and it sleeps without a worker.
    assert seen["report"] == ["READY", "waiting"]
    assert seen["paths"] == ["sleep:cooldown", "step:book", "step:load"]
