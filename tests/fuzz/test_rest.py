"""Whatever is sent to REST: no fault of the server, only answers that its OpenAPI tells, and nothing of another tenant."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from django.core.wsgi import get_wsgi_application
from django.test import Client
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from django_tasks_durable.models import TaskRun
from tests.doors.callers import EVERYTHING, a_user
from tests.doors.tenants import SECRET, furnished, queue_of, two_tenants

schemathesis = pytest.importorskip("schemathesis", reason="REST is not fuzzed: schemathesis is not installed")
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.fault("F36")]

CASES = int(os.environ.get("FUZZ_CASES", "150"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
PERMISSIONS = (*EVERYTHING, "view_queue", "change_queue", "view_worker", "view_schedule", "run_schedule")
TOKEN = "t" * 32


def calls(schema: Any, ids: list[str]) -> st.SearchStrategy[Any]:
    """Make calls of all operations, right and wrong ones; those of a task often name one that there is."""
    operations = [operation.ok() for operation in schema.get_all_operations()]
    right, wrong = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE

    @st.composite
    def one(draw: Any) -> Any:
        operation = draw(st.sampled_from(operations))
        may_be_wrong = len(operation.query) > 0 or len(operation.body) > 0
        mode = draw(st.sampled_from([right, wrong])) if may_be_wrong else right
        case = draw(operation.as_strategy(generation_mode=mode))
        if "run_id" in case.path_parameters and draw(st.integers(0, 3)):
            case.path_parameters["run_id"] = draw(st.sampled_from(ids))
        if case.path_parameters.get("name") is not None and draw(st.booleans()):
            case.path_parameters["name"] = draw(st.sampled_from(["add", "owes", "facts", queue_of("ann")]))
        if isinstance(case.body, dict) and "task" in case.body and draw(st.booleans()):
            case.body["task"] = "tests.doors.tasks.measure"
        return case

    return one()


def as_ann(app: Any) -> Any:
    """Let every request to an application be one of a user who has logged in, from a page of the site's own."""
    client = Client()
    client.force_login(a_user("ann", *PERMISSIONS))
    cookie = f"sessionid={client.cookies['sessionid'].value}; csrftoken={TOKEN}"
    return lambda environ, start: app({**environ, "HTTP_COOKIE": cookie, "HTTP_X_CSRFTOKEN": TOKEN}, start)


@pytest.mark.slow
@pytest.mark.timeout(0 if "FUZZ_CASES" in os.environ else 600)
def test_nothing_that_is_sent_breaks_it_or_shows_what_is_anothers() -> None:
    app = as_ann(get_wsgi_application())
    with two_tenants():
        mine, others = furnished("ann"), furnished("bob")
        # Put together here: Hypothesis tries the words that it reads in the code, and may say what was said.
        hidden = {str(run.pk) for run in others.values()} | {
            SECRET.format("bob"),
            *map("token-{}".format, ("bob", "ann")),
        }
        ids = [*(str(run.pk) for run in mine.values()), *(str(run.pk) for run in others.values()), str(uuid4())]
        schema = schemathesis.openapi.from_wsgi("/api/tasks/schema/", app)
        before = list(TaskRun.objects.filter(queue_name=queue_of("bob")).order_by("pk").values())
        answered = Counter[str]()

        @seed(SEED)
        @settings(
            max_examples=CASES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=calls(schema, ids))
        def play(case: Any) -> None:
            response = case.call()
            answered[f"{case.operation.method} {case.operation.path} {response.status_code}"] += 1
            expect_right(case, response, hidden)

        play()
        assert list(TaskRun.objects.filter(queue_name=queue_of("bob")).order_by("pk").values()) == before
    if CASES > 1000:
        print(*(f"{number:6} {told}" for told, number in sorted(answered.items())), sep="\n")
    assert len({told.rpartition(" ")[0] for told in answered}) > 20, answered


def expect_right(case: Any, response: Any, hidden: set[str]) -> None:
    """Compare an answer with what the document says, and look for what is not this caller's."""
    said = f"{case.operation.method} {case.operation.path} {case.path_parameters} {case.query} {case.body!r}"
    assert response.status_code < 500, f"{said}: {response.text}"
    case.validate_response(response, checks=[each for each in schemathesis.checks.CHECKS.get_all() if is_used(each)])
    asked = str(case.path_parameters.get("run_id", ""))
    assert not [each for each in hidden - {asked} if each in response.text], f"{said}: {response.text}"
    if asked in hidden:
        assert response.status_code in {400, 404, 405, 406, 413, 415}, f"{said}: {response.text}"
    if case.operation.path.endswith("/aggregate/") and response.status_code == 200:
        assert response.json()["total"] <= TaskRun.objects.filter(queue_name=queue_of("ann")).count()


def is_used(check: Any) -> bool:
    """Tell the checks of one answer from those that make calls of their own."""
    return check.__name__ in {"status_code_conformance", "content_type_conformance", "response_schema_conformance"}
