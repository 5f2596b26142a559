"""What `{% task_progress %}` writes into a page."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.template import Context, RequestContext, Template
from django.test import RequestFactory
from django.utils import translation

from django_tasks_durable.snapshots import read
from tests.probe import tasks

pytestmark = pytest.mark.django_db
ID = "01990000-0000-7000-8000-00000000000a"


def user(*codenames: str) -> User:
    """Make a user with these permissions."""
    someone = User.objects.create_user(uuid4().hex)
    someone.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return someone


def rendered(text: str, someone: Any = None, **values: Any) -> str:
    """Render a template as a view of this user would."""
    request = RequestFactory().get("/")
    request.user = someone or AnonymousUser()
    source = "{% load tasks_durable %}" + text
    return Template(source).render(RequestContext(request, values)).strip()


def test_an_id_becomes_an_element_that_a_script_upgrades() -> None:
    html = rendered("{% task_progress id %}", id=ID)
    assert f'<task-progress task="{ID}"' in html
    assert re.search(r'<script type="module" src="[^"]*django_tasks_durable/task-progress.js"></script>', html)
    assert "style" not in html
    assert "onclick" not in html


def test_the_script_is_brought_once() -> None:
    html = rendered("{% for id in ids %}{% task_progress id %}{% endfor %}", ids=[ID, ID, ID])
    assert (html.count("<task-progress "), html.count("<script")) == (3, 1)


def test_without_a_script_the_page_says_how_it_stood() -> None:
    result = tasks.add.enqueue(1, 2)
    html = rendered("{% task_progress result %}", user("view_taskrun"), result=result)
    assert f'task="{result.id}"' in html
    assert "Queued" in html
    assert "<progress" in html


def test_somebody_who_may_not_see_a_task_is_told_nothing_of_it() -> None:
    result = tasks.add.enqueue(1, 2)
    for someone in (None, user()):
        html = rendered("{% task_progress result %}", someone, result=result)
        assert "Queued" not in html
        assert result.id in html


def test_a_snapshot_costs_no_query(django_assert_num_queries: Any) -> None:
    run = read.one(tasks.add.enqueue(1, 2).id, using="default")
    with django_assert_num_queries(0):
        html = rendered("{% task_progress run %}", run=run)
    assert "Queued" in html


def test_hostile_text_is_text() -> None:
    hostile = '"><script>alert(1)</script>'
    html = rendered("{% task_progress id label=id socket=id api=id %}", id=hostile)
    assert "<script>alert" not in html
    assert html.count("<script") == 1


@pytest.mark.parametrize(("codenames", "is_given"), [((), False), (("view_taskrun", "resume_task"), True)])
def test_only_those_who_may_answer_get_what_an_answer_needs(codenames: tuple[str, ...], is_given: bool) -> None:
    html = rendered("{% task_progress id questions=True %}", user(*codenames), id=ID)
    assert " questions" in html
    assert ("csrf-token=" in html) is is_given
    assert "csrf-token=" not in rendered("{% task_progress id %}", user(*codenames), id=ID)


def test_the_words_are_those_of_the_page() -> None:
    assert "words=" not in rendered("{% task_progress id %}", id=ID)
    with translation.override("de"):
        html = rendered("{% task_progress id %}", id=ID)
    found = re.search(r'words="([^"]*)"', html)
    assert found is not None
    assert set(json.loads(found[1].replace("&quot;", '"').replace("&#x27;", "'"))) >= {"queued", "lost", "asked"}


def test_a_nonce_is_handed_on_where_the_site_has_one() -> None:
    assert 'nonce="n1"' in rendered("{% task_progress id %}", id=ID, csp_nonce="n1")


def test_a_page_without_a_request_has_an_element_too() -> None:
    html = Template("{% load tasks_durable %}{% task_progress id %}").render(Context({"id": ID}))
    assert f'task="{ID}"' in html
