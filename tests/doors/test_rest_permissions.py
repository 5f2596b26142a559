"""Who may do what over REST: every route and verb, by everybody, on a task of theirs, of another tenant, and none at all.

The table is tests/doors/golden/rest-permissions.txt. `GOLDEN=write python -m pytest tests/doors/test_rest_permissions.py`
writes it anew; read the difference before you commit it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from django_tasks_durable.api import urls
from django_tasks_durable.models import TaskRun

from . import tasks
from .callers import EVERYTHING, Caller, a_user
from .rows import a_worker
from .tenants import furnished, two_tenants
from .test_rest_house import a_schedule

pytestmark = pytest.mark.django_db
GOLDEN = Path(__file__).parent / "golden" / "rest-permissions.txt"
MINE, ANOTHERS, NOBODYS = "own", "foreign", "none"

ROLES = {
    "anonymous": None,
    "nothing": (),
    "view": ("view_taskrun",),
    "payload": ("view_taskrun", "view_payload"),
    "acts-only": tuple(each for each in EVERYTHING if not each.startswith("view")),
    "enqueue": ("view_taskrun", "enqueue_task"),
    "cancel": ("view_taskrun", "cancel_task"),
    "retry": ("view_taskrun", "retry_task"),
    "run": ("view_taskrun", "run_task"),
    "resume": ("view_taskrun", "resume_task"),
    "message": ("view_taskrun", "message_task"),
    "copy": ("view_taskrun", "copy_task"),
    "fork": ("view_taskrun", "fork_task"),
    "house": ("view_taskrun", "view_queue", "change_queue", "view_worker", "view_schedule", "run_schedule"),
    "superuser": (),
}
# Which run an act is tried on, so that it could be done, and what is said.
ON = {
    "cancel": ("queued", {}),
    "retry": ("failed", {}),
    "run-now": ("queued", {}),
    "resume": ("waiting", {"value": 1}),
    "signal": ("queued", {"name": "go"}),
    "copy": ("failed", {}),
    "fork": ("waiting", {"path": "wait:0"}),
    "command": ("tab", {"args": [1]}),
    "query": ("tab", {}),
    "list": ("", {"task": tasks.measure.module_path, "args": [1]}),
}
NAMES = {
    "command": "add",
    "query": "owes",
    "pause-queue": "tenant-ann",
    "unpause-queue": "tenant-ann",
    "limits": "tenant-ann",
}


def counted(name: str, response: Any) -> str:
    """Tell how many tasks an answer counts or shows, where it does."""
    match name:
        case "list" | "inbox":
            return f" n={len(response.json()['results'])}"
        case "aggregate":
            return f" n={response.json()['total']}"
        case "bootstrap":
            body = response.json()
            return f" n={len(body['runs'])}+{body['aggregate']['total']}"
        case "queues":
            numbers = ("due", "later", "held", "waiting")
            return f" n={sum(each[number] for each in response.json()['results'] for number in numbers)}"
        case "workers":
            return f" n={sum(each['held'] for each in response.json()['results'])}"
        case "metrics":
            figures = re.findall(r'^durable_tasks_tasks\{state="\w+"\} (\d+)$', response.content.decode(), re.MULTILINE)
            return f" n={sum(map(int, figures))}"
        case _:
            return ""


def cell(caller: Caller, verb: str, name: str, route: str, runs: dict[str, dict[str, TaskRun]]) -> str:
    """Try a route on each owner's task, undoing what was done, and tell the statuses."""
    which, body = ON.get(name, ("queued", {}))
    told = []
    for owner in (MINE, ANOTHERS, NOBODYS) if "<str:run_id>" in route else (MINE,):
        run_id = str(uuid4()) if owner == NOBODYS else str(runs[owner][which or "queued"].pk)
        path = route.replace("<str:run_id>", run_id).replace("<str:name>", NAMES.get(name, "nightly"))
        with transaction.atomic():
            if verb == "GET":
                response = caller.get(path, **({"aggregate": "1"} if name == "bootstrap" else {}))
            else:
                response = (
                    caller.post(path, body) if verb == "POST" else caller.client.generic(verb, f"/api/tasks/{path}")
                )
            transaction.set_rollback(True)
        told.append(
            f"{response.status_code}{counted(name, response) if response.status_code == 200 and verb == 'GET' else ''}"
        )
    return told[0] if len(set(told)) == 1 else "/".join(told)


def verbs_of(view: Any) -> Iterator[str]:
    """Give the verbs that a view answers, and one that it does not."""
    yield from (verb for verb in ("GET", "POST", "DELETE") if hasattr(view, verb.lower()))
    yield "PATCH"


def table() -> str:
    """Try everything and write down what was answered."""
    runs = {MINE: furnished("ann"), ANOTHERS: furnished("bob")}
    a_worker(), a_schedule()
    callers = {name: Caller(_user(name, permissions)) for name, permissions in ROLES.items()}
    lines = [["verb", "route", *ROLES]]
    for pattern in urls.urlpatterns:
        route = str(pattern.pattern)
        for verb in verbs_of(pattern.callback.view_class):
            cells = [cell(caller, verb, str(pattern.name), route, runs) for caller in callers.values()]
            lines.append([verb, route.replace("str:", "") or "(list)", *cells])
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return "".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def _user(name: str, permissions: tuple[str, ...] | None) -> User | None:
    if permissions is None:
        return None
    user = a_user(f"ann-{name}", *permissions)
    if name == "superuser":
        user.is_superuser = True
        user.save()
    return user


@pytest.mark.fault("F37")
@pytest.mark.timeout(300)
def test_everybody_may_do_what_the_table_says_and_nothing_else() -> None:
    pytest.importorskip("drf_spectacular")
    with two_tenants():
        found = table()
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()


def test_a_table_that_lets_somebody_at_another_tenants_task_would_be_seen() -> None:
    rows = [line.split("  ") for line in GOLDEN.read_text().splitlines()]
    allowed = {
        cell.strip()
        for row in rows[1:]
        if "<run_id>" in row[1] + row[2]
        for cell in (each for each in row[1:-1] if "/" in each and "<" not in each)
    }
    assert allowed == {f"{own}/404/404" for own in {each.partition("/")[0] for each in allowed}}
