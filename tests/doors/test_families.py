"""Who started a task and what it has started, as people see it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.status import CheckpointKind
from django_tasks_durable.snapshots import read

from .rows import a_checkpoint, a_run

pytestmark = pytest.mark.django_db


def test_a_snapshot_names_the_parent_and_children_are_found_in_the_order_of_their_start() -> None:
    parent = a_run()
    children = [a_run(id=new_id(), parent_id=parent.id, parent_path=f"spawn:{number}") for number in range(3)]
    a_run()
    assert [child.id for child in read.children(parent.id, using="default")] == [child.id for child in children]
    assert read.one(children[0].id, using="default").as_dict()["parent_id"] == str(parent.id)
    assert read.one(parent.id, using="default").as_dict()["parent_id"] is None


def test_children_take_one_query_however_many(django_assert_num_queries: object) -> None:
    parent = a_run()
    for _ in range(20):
        a_run(id=new_id(), parent_id=parent.id)
    with django_assert_num_queries(1):  # type: ignore[operator]
        assert len(read.children(parent.id, using="default")) == 20


def test_the_pages_of_a_parent_and_its_child_lead_to_each_other(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    parent = a_run()
    child = a_run(id=new_id(), parent_id=parent.id)
    a_checkpoint(parent, "spawn:add", str(child.id), kind=CheckpointKind.SPAWN)

    def page(run_id: object) -> str:
        return reverse("admin:durable_tasks_taskrun_change", args=[run_id])

    assert page(child.id) in client.get(page(parent.id)).content.decode()
    assert page(parent.id) in client.get(page(child.id)).content.decode()
