"""The page of a link, which acts only when it is posted, and the webhook."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from django_tasks_durable.backend.answering import expect_permitted
from django_tasks_durable.backend.bodies import read_json
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import (
    AlreadyResolved,
    BadLink,
    DurableError,
    LinkExpired,
    MayNotAnswer,
    NotAskedYet,
    NotJson,
    NotSerializable,
    NotWaiting,
    PayloadTooLarge,
    RunNotFound,
    TooOften,
    UnknownForm,
)
from django_tasks_durable.primitives.links import APPROVAL, WEBHOOK
from django_tasks_durable.snapshots import policy
from django_tasks_durable.snapshots.parts import WaitSnapshot
from django_tasks_durable.snapshots.questions import question_of
from django_tasks_durable.snapshots.text import plain, pretty
from django_tasks_durable.store import control, messages

from . import forms
from .opened import Opened, follow

logger = logging.getLogger("django_tasks_durable.answers")

BY_LINK = "link"
BY_WEBHOOK = "webhook"
LONGEST_QUESTION = 10_000
SECONDS_TO_WAIT = 5
STATUSES: dict[type[DurableError], int] = {
    NotJson: 400,
    NotSerializable: 400,
    MayNotAnswer: 403,
    BadLink: 404,
    NotAskedYet: 404,
    AlreadyResolved: 409,
    LinkExpired: 410,
    NotWaiting: 410,
    RunNotFound: 410,
    PayloadTooLarge: 413,
    TooOften: 429,
    UnknownForm: 503,
}


View = Callable[[HttpRequest, str], HttpResponse]


def _discreet(*methods: str) -> Callable[[View], View]:
    """Keep the address, which is a key, out of the log of refused requests and of what a browser tells other sites.

    Other methods are refused here: Django's own decorator writes the address of whom it refuses.
    """

    def around(view: View) -> View:
        @wraps(view)
        def discreet(request: HttpRequest, signed: str) -> HttpResponse:
            response = view(request, signed) if request.method in methods else HttpResponseNotAllowed(methods)
            response["Referrer-Policy"] = "no-referrer"
            response["X-Robots-Tag"] = "noindex, nofollow"
            if response.status_code >= 400:
                if response.status_code != 429:  # a flood is not to fill the log
                    logger.warning("An answer by a link was refused with %s", response.status_code)
                response._has_been_logged = True  # type: ignore[attr-defined]
            return response

        return discreet

    return around


@_discreet("GET", "HEAD", "POST")
@never_cache
@csrf_protect
def approval(request: HttpRequest, signed: str) -> HttpResponse:
    """Show the question that a link leads to, and give it the answer that is posted. The first answer stands."""
    try:
        opened = follow(APPROVAL, signed, caller=_caller(request))
        wait = opened.question()
        user = getattr(request, "user", AnonymousUser())  # a site may do without accounts
        expect_permitted(wait, user)
        form = forms.form_of(wait, request.POST if request.method == "POST" else None)
        if not form.is_bound:
            return _page(request, opened, wait, form)
        if not form.is_valid():
            return _page(request, opened, wait, form, status=400)
        by = user.get_username() or BY_LINK
        control.resume(opened.run.id, forms.answer_of(form), token=wait.token, using=opened.using, by=by)
    except DurableError as error:
        return _refusal(request, error)
    return render(request, "durable_tasks/answers/done.html")


@csrf_exempt
@_discreet("POST")
@never_cache
def webhook(request: HttpRequest, signed: str) -> HttpResponse:
    """Take the JSON that a program posts as the answer. The same again is accepted, another is refused."""
    try:
        opened = follow(WEBHOOK, signed, caller=_caller(request))
        limit = get_options(opened.link.backend).max_payload_bytes
        payload = read_json(request, request.META.get("CONTENT_LENGTH"), limit)
        messages.deliver(opened.run.id, opened.link.path, payload, using=opened.using, by=BY_WEBHOOK)
    except DurableError as error:
        return _dated(JsonResponse({"code": error.code, "message": str(error)}, status=_status(error)), error)
    return JsonResponse({"accepted": True})


def _page(request: HttpRequest, opened: Opened, wait: WaitSnapshot, form: Any, *, status: int = 200) -> HttpResponse:
    # The question is meant for whoever holds the link.
    shown = policy.redact(wait.request, get_options(opened.link.backend).redact_keys)
    question = question_of(shown)
    is_all = shown is None or shown == question
    context = {
        "question": question,
        "details": "" if is_all else pretty(shown, longest=LONGEST_QUESTION),
        "deadline": wait.deadline,
        "form": form,
    }
    return render(request, "durable_tasks/answers/question.html", context, status=status)


def _refusal(request: HttpRequest, error: DurableError) -> HttpResponse:
    said = {
        MayNotAnswer: _("Log in as somebody who may answer this, then open the link again."),
        AlreadyResolved: _("This has been answered already. The first answer stands."),
        TooOften: _("This was asked too often. Try again in a moment."),
        NotAskedYet: _("The question has not been put yet. Try again in a moment."),
    }.get(type(error), plain(error))
    response = render(request, "durable_tasks/answers/refused.html", {"said": said}, status=_status(error))
    if isinstance(error, NotAskedYet):
        response["Retry-After"] = str(SECONDS_TO_WAIT)
    return _dated(response, error)


def _dated(response: HttpResponse, error: DurableError) -> HttpResponse:
    if isinstance(error, TooOften):
        response["Retry-After"] = f"{error.seconds:.0f}"
    return response


def _caller(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))


def _status(error: DurableError) -> int:
    return next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)
