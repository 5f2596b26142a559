"""The OpenAPI says what the API does: it is valid, nothing in it is a guess, and its shapes are those of the snapshots."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from django_tasks_durable.api import asked, fields, house_shapes, shapes, urls
from django_tasks_durable.snapshots import bootstrap, charts, health, house, queues, read, waits
from django_tasks_durable.testing import drain

from . import rows, tasks
from .callers import somebody
from .test_rest import told

drf_spectacular = pytest.importorskip("drf_spectacular")
pytestmark = pytest.mark.django_db


def test_the_document_is_valid_and_made_without_a_warning() -> None:
    # Another process, because spectacular counts its warnings for good.
    program = """
import django; django.setup()
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from django_tasks_durable.api.openapi import document
for found in (document("/api/tasks/"), SchemaGenerator().get_schema(public=True)):
    validate_schema(found)
    assert found["paths"]["/api/tasks/"]["post"]["operationId"] == "tasks_enqueue"
assert not GENERATOR_STATS, dict(GENERATOR_STATS._warn_cache, **GENERATOR_STATS._error_cache)
"""
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr


def test_every_route_is_in_the_document_but_the_documents_own() -> None:
    document = told(somebody().get("schema/"))
    wanted = {pattern.name for pattern in urls.urlpatterns} - {"schema"}
    assert len(document["paths"]) == len(wanted)
    assert document["info"]["title"] == "django-tasks-durable"
    assert all(path.startswith("/api/tasks/") for path in document["paths"])


def names(value: Any) -> Any:
    """Return the names of an object's fields, and of those of the objects in it that have some of their own."""
    return sorted(value)


def a_task_that_asks() -> Any:
    """Let a task stop at a question."""
    result = tasks.publish.enqueue("Tea")
    drain()
    return result


def test_the_shapes_are_those_of_the_snapshots() -> None:
    run = rows.a_full_run()
    result = a_task_that_asks()
    rows.a_worker()
    snapshot = read.one(run.pk, using="default")
    (wait,) = waits.waits(result.run_id, using="default")
    found: dict[type[fields.Shape], dict[str, Any]] = {
        shapes.Task: read.summary(read.runs(using="default").get(pk=run.pk)).as_dict(),
        shapes.WholeTask: snapshot.as_dict(),
        shapes.Progress: snapshot.progress.as_dict(),
        shapes.Failure: snapshot.errors[0].as_dict(),
        shapes.Standing: snapshot.workflow() or {},
        shapes.Line: read.timeline(run.pk, using="default")[0].as_dict(),
        shapes.Checkpoint: read.checkpoints(run.pk, using="default")[0].as_dict(),
        shapes.Question: wait.as_dict(),
        shapes.FormField: (asked.fields_of(replace(wait, form="everything")) or [])[3],
        shapes.AskedQuestion: waits.inbox(read.runs(using="default"), using="default")[0].as_dict(),
        shapes.Counts: bootstrap.aggregate(using="default").as_dict(),
        shapes.Beginning: bootstrap.bootstrap(using="default").as_dict(),
        shapes.FollowedTask: bootstrap.bootstrap(using="default").as_dict()["runs"][0],
        house_shapes.Worker: house.workers(using="default")[0].as_dict(),
        house_shapes.Queue: queues.queue("any", using="default").as_dict(),
        house_shapes.Chart: (chart := charts.chart(charts.Window.HOUR, using="default").as_dict()),
        house_shapes.Point: chart["total"],
        house_shapes.Finding: health.Finding(code="X", severity="info", message="").as_dict(),
    }
    for shape, value in found.items():
        assert sorted(shape().fields) == sorted(value), shape.__name__
    assert json.dumps(found[shapes.WholeTask])


def test_the_api_works_without_the_extra() -> None:
    program = """
import sys
sys.modules["drf_spectacular"] = None
import django; django.setup()
from django_tasks_durable.api import urls
assert "schema" not in {pattern.name for pattern in urls.urlpatterns}
"""
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
