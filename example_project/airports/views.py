"""The pages of the imports: start one, watch it, answer its question, read its report."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import permission_required
from django.contrib.staticfiles import finders
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from django_tasks_durable.exceptions import DurableError, RunNotFound
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.snapshots import policy, read
from django_tasks_durable.snapshots.shapes import RunSummary
from django_tasks_durable.store import control

from . import report, rules, tasks

USING = "default"
IMPORTS_SHOWN = 10
LINES_SHOWN = 40


@require_GET
@staff_member_required
def index(request: HttpRequest) -> HttpResponse:
    """Show the newest imports."""
    visible = policy.visible_to(request.user, read.runs(using=USING))
    newest = visible.filter(task_path=tasks.import_airports.module_path)[:IMPORTS_SHOWN]
    imports = [{"run": run, "has_report": _has_report(run)} for run in read.summaries(newest)]
    return render(request, "airports/index.html", {"imports": imports})


@require_GET
@staff_member_required
def show(request: HttpRequest, run: UUID) -> HttpResponse:
    """Show one import as it stands; the page's script moves it on from there."""
    try:
        found = read.one(run, using=USING, narrow=partial(policy.visible_to, request.user))
    except RunNotFound as missing:
        raise Http404(str(missing)) from None
    meta = found.progress.meta if policy.sees_payloads(request.user) else {}
    context = {
        "run": found,
        "rows": meta.get("rows", 0),
        "countries": meta.get("countries", {}),
        "lines": reversed(read.timeline(found.id, limit=LINES_SHOWN, using=USING)),
        "lines_shown": LINES_SHOWN,
        "question": _question(found),
        "has_report": _has_report(found),
    }
    return render(request, "airports/import.html", context)


@require_POST
@staff_member_required
@permission_required("durable_tasks.enqueue_task", raise_exception=True)
def start(request: HttpRequest) -> HttpResponse:
    """Enqueue an import and go to its page."""
    return redirect("airports:import", tasks.import_airports.enqueue().id)


@require_POST
@staff_member_required
@permission_required("durable_tasks.resume_task", raise_exception=True)
def answer(request: HttpRequest, run: UUID) -> HttpResponse:
    """Answer an import's question, for a browser that runs no script."""
    try:
        control.resume(
            run,
            {"decision": request.POST.get("decision", "")},
            token=request.POST.get("token", ""),
            using=USING,
            by=request.user.get_username(),
        )
    except DurableError as error:
        messages.error(request, str(error))
    return redirect("airports:import", run)


@require_GET
@staff_member_required
def show_report(request: HttpRequest, run: UUID) -> HttpResponse:
    """Show an import's report."""
    try:
        return HttpResponse(report.path_of(run).read_bytes(), content_type="text/html; charset=utf-8")
    except FileNotFoundError:
        raise Http404(f"The import {run} has no report.") from None


@require_GET
def style_sheet(request: HttpRequest) -> HttpResponse:
    """Serve the style sheet that the report expects beside it."""
    found = finders.find(report.STYLE_SHEET)
    if not isinstance(found, str):
        raise Http404(report.STYLE_SHEET)
    return HttpResponse(Path(found).read_bytes(), content_type="text/css; charset=utf-8")


def _has_report(run: RunSummary) -> bool:
    return run.status is RunStatus.SUCCESSFUL and report.path_of(run.id).is_file()


def _question(run: RunSummary) -> dict[str, Any] | None:
    waits = read.waits(run.id, using=USING) if run.status is RunStatus.WAITING else []
    if not waits:
        return None
    request = waits[0].request
    return {
        "text": request["question"],
        "token": waits[0].token,
        "choices": request["choices"],
        "reasons": [(words, request["counts"][reason]) for reason, words in rules.REASONS.items()],
    }
