"""``{% load tasks_durable %}{% task_progress result %}``: a bar that moves with a task."""

from __future__ import annotations

import json
from functools import partial
from typing import Any
from uuid import UUID

from django import template
from django.contrib.auth.models import AnonymousUser
from django.urls import NoReverseMatch, reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import DurableError
from django_tasks_durable.primitives.status import State
from django_tasks_durable.snapshots import policy, read
from django_tasks_durable.snapshots.shapes import RunSummary

register = template.Library()

SCRIPT_IS_THERE = "durable_tasks_script_is_there"
MAY_ANSWER = "durable_tasks.resume_task"


@register.inclusion_tag("durable_tasks/task_progress.html", takes_context=True)
def task_progress(
    context: template.RequestContext,
    task: Any,
    *,
    questions: bool = False,
    socket: str = "",
    api: str = "",
    label: str = "",
) -> dict[str, Any]:
    """Show a task: a result, a snapshot or an id. ``questions`` also shows what it asks and, to those who may, its answers.

    ``socket`` and ``api`` say where the live doors are, if not where they usually are; ``label`` names the bar for those who
    hear the page. A snapshot takes no query; of anything else only what the request's user may see is shown.
    """
    user = context.get("user") or AnonymousUser()
    may_answer = questions and user.has_perm(MAY_ANSWER)
    return {
        "id": getattr(task, "id", task),
        "run": task if isinstance(task, RunSummary) else _seen(task, user),
        "questions": questions,
        "answer_token": context.get("csrf_token", "") if may_answer else "",
        "socket": socket,
        "api": api or _api(),
        "label": label,
        "words": _words(),
        "brings_script": _is_first(context),
        "nonce": context.get("csp_nonce", ""),
    }


def _seen(task: Any, user: policy.User) -> RunSummary | None:
    using = get_options(getattr(task, "backend", "default")).database
    run_id = getattr(task, "id", task)
    try:
        return read.one(
            run_id if isinstance(run_id, UUID) else str(run_id), using=using, narrow=partial(policy.visible_to, user)
        )
    except DurableError:
        return None


def _api() -> str:
    try:
        return reverse("durable_api:list")
    except NoReverseMatch:
        return ""


def _is_first(context: template.RequestContext) -> bool:
    told: dict[Any, Any] = context.render_context  # type: ignore[assignment]
    is_first = SCRIPT_IS_THERE not in told
    told[SCRIPT_IS_THERE] = True
    return is_first


def _words() -> str:
    """Return the element's words in the language of the page, as JSON; the English ones it has itself."""
    if (get_language() or "en").partition("-")[0] == "en":
        return ""
    words = {state.value: str(state.label) for state in State} | {
        "progress": _("Progress"),
        "connecting": _("Connecting…"),
        "lost": _("The connection is lost. Trying again…"),
        "refused": _("Log in to follow this task."),
        "forbidden": _("You may not see this task."),
        "asked": _("This task waits for an answer."),
        "approve": _("Approve"),
        "reject": _("Reject"),
        "unanswered": _("The answer did not arrive. Try again."),
        "answer": _("Answer"),
        "send": _("Send"),
        "elsewhere": _("This question asks for a form that this page cannot show."),
    }
    return json.dumps(words, ensure_ascii=False)
