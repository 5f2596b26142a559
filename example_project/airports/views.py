"""A page for the imports: start one, watch it, answer its question, read its report."""

from __future__ import annotations

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

from django_tasks_durable.exceptions import DurableError
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.shapes import RunSummary
from django_tasks_durable.store import control

from . import report, rules, tasks

USING = "default"
IMPORTS_SHOWN = 10


@require_GET
@staff_member_required
def index(request: HttpRequest) -> HttpResponse:
    """Show the newest imports."""
    newest = read.runs(using=USING).filter(task_path=tasks.import_airports.module_path)[:IMPORTS_SHOWN]
    imports = [_tell(run) for run in read.summaries(newest)]
    is_moving = any(not each["run"].is_finished and not each["question"] for each in imports)
    return render(request, "airports/index.html", {"imports": imports, "is_moving": is_moving})


@require_POST
@staff_member_required
@permission_required("durable_tasks.enqueue_task", raise_exception=True)
def start(request: HttpRequest) -> HttpResponse:
    """Enqueue an import."""
    result = tasks.import_airports.enqueue()
    messages.success(request, f"Enqueued {result.id}.")
    return redirect("airports:index")


@require_POST
@staff_member_required
@permission_required("durable_tasks.resume_task", raise_exception=True)
def answer(request: HttpRequest, run: UUID) -> HttpResponse:
    """Answer an import's question."""
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
    return redirect("airports:index")


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


def _tell(run: RunSummary) -> dict[str, Any]:
    waits = read.waits(run.id, using=USING) if run.status is RunStatus.WAITING else []
    return {
        "run": run,
        "question": _question(waits[0].request, waits[0].token) if waits else None,
        "has_report": run.status is RunStatus.SUCCESSFUL and report.path_of(run.id).is_file(),
    }


def _question(request: dict[str, Any], token: str) -> dict[str, Any]:
    return {
        "text": request["question"],
        "token": token,
        "choices": request["choices"],
        "reasons": [(words, request["counts"][reason]) for reason, words in rules.REASONS.items()],
    }
