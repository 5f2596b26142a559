"""What the page of one task shows, ready for its template."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.forms import BaseForm
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_tasks_durable.authoring.tasks import registered
from django_tasks_durable.primitives.status import StepKind
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.parts import CheckpointSnapshot, ErrorSnapshot, TimelineLine, WaitSnapshot
from django_tasks_durable.snapshots.policy import Veil
from django_tasks_durable.snapshots.questions import choices_of, question_of
from django_tasks_durable.snapshots.shapes import Act, RunSnapshot
from django_tasks_durable.snapshots.text import compact, duration, plain, pretty

from . import look
from .answering import Bound, asked_form
from .family import Family, family_of
from .forms import AnswerForm
from .tree import LONGEST_VALUE, Node, grow

LONGEST_IN_LINE = 400
BY_OPERATORS = frozenset({StepKind.AUDIT, StepKind.RESUMED, StepKind.CANCELLED, StepKind.CANCEL_REQUESTED})


@dataclass(frozen=True, kw_only=True)
class LineView:
    """One line of the timeline."""

    line: TimelineLine
    at: SafeString
    since: str
    path: str
    message: str
    took: str
    by: str
    value: str


@dataclass(frozen=True, kw_only=True)
class ErrorView:
    """How one attempt failed."""

    number: int
    attempt: int | None
    class_path: str
    message: str
    traceback: str
    code: str


@dataclass(frozen=True, kw_only=True)
class WaitView:
    """One question, with the form for its answer if this user may give one.

    ``asked`` is the form that the question asks for; then ``form`` only says which question is meant.
    """

    path: str
    answered_by: str
    question: str
    request: str
    answer: str
    choices: Sequence[tuple[str, str]]
    deadline: SafeString
    permission: str
    form: AnswerForm | None
    asked: BaseForm | None
    lacks_form: str


@dataclass(frozen=True, kw_only=True)
class Payload:
    """A value with its heading."""

    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """The page of one task."""

    run: RunSnapshot
    acts: frozenset[Act]
    is_known: bool
    lines: Sequence[LineView]
    has_earlier: bool
    trimmed_before: int
    tree: Sequence[Node]
    checkpoints_left_out: bool
    waits: Sequence[WaitView]
    answered: Sequence[WaitView]
    errors: Sequence[ErrorView]
    payloads: Sequence[Payload]
    family: Family

    @property
    def badge(self) -> SafeString:
        """The run's state."""
        return look.badge(self.run)

    @property
    def progress(self) -> SafeString:
        """How far the run is."""
        return look.progress(self.run)

    @property
    def path(self) -> str:
        """The path of the task."""
        return plain(self.run.task_path)

    @property
    def may_cancel(self) -> bool:
        """Whether this user may cancel this run as it stands."""
        return Act.CANCEL in self.acts

    @property
    def may_retry(self) -> bool:
        """Whether this user may retry this run as it stands."""
        return Act.RETRY in self.acts

    @property
    def may_run_now(self) -> bool:
        """Whether this user may make this run due now."""
        return Act.RUN_NOW in self.acts

    @property
    def earliest(self) -> int:
        """The sequence of the first line shown."""
        return self.lines[-1].line.sequence if self.lines else 0

    @property
    def facts(self) -> Iterator[tuple[str, Any]]:
        """What there is to say about the run in few words, in the order in which people look for it."""
        run = self.run
        yield _("Queue"), plain(run.queue_name)
        yield _("Attempt"), look.attempts(run)
        yield _("Enqueued"), look.moment(run.enqueued_at)
        if run.is_delayed:
            yield _("Due"), look.moment(run.due_at)
        if run.waited_seconds is not None:
            yield _("Waited"), duration(run.waited_seconds)
        if run.started_at:
            yield _("Started"), look.moment(run.started_at)
        if run.last_attempted_at and run.last_attempted_at != run.started_at:
            yield _("Last attempt"), look.moment(run.last_attempted_at)
        if run.finished_at:
            yield _("Finished"), look.moment(run.finished_at)
        if run.run_seconds is not None:
            yield _("Took") if run.is_finished else _("Running for"), look.lasted(run)
        if run.lease_worker:
            yield _("Worker") if run.is_leased else _("Last worker"), plain(run.lease_worker)
        if run.wake_reason and not run.is_finished:
            yield _("Because"), run.wake_reason.label
        if run.error_code:
            yield _("Error code"), plain(run.error_code)
        if run.cancel_reason:
            yield _("Cancelled because"), plain(run.cancel_reason)
        if run.visit:
            yield (
                _("Workflow step"),
                plain(_("%(step)s (visit %(visit)d)") % {"step": run.workflow_step, "visit": run.visit}),
            )
        yield _("Priority"), run.priority
        yield _("Backend"), plain(run.backend)
        yield _("Version"), run.version


def build(
    run: RunSnapshot,
    *,
    using: str,
    acts: frozenset[Act],
    veil: Veil,
    before: int | None = None,
    may_answer: Callable[[str], bool] = lambda permission: True,
    bound: Bound | None = None,
    narrow: read.Narrow = read.everything,
    address: Callable[[UUID], str] = str,
) -> Page:
    """Read what the page of a run shows beside the run itself."""
    lines = read.timeline(run.id, before=before, using=using)
    checkpoints = read.checkpoints(run.id, using=using)
    waits = read.waits(run.id, pending=False, using=using)
    return Page(
        run=run,
        acts=acts,
        is_known=run.task_path in registered(),
        lines=tuple(reversed(list(_line_views(lines, checkpoints, veil)))),
        has_earlier=bool(lines) and lines[0].sequence > run.first_sequence,
        trimmed_before=run.first_sequence if run.first_sequence > 1 else 0,
        tree=grow(checkpoints, veil),
        checkpoints_left_out=len(checkpoints) == read.CHECKPOINT_LIMIT,
        waits=[
            _wait_view(wait, veil, Act.RESUME in acts and may_answer(wait.permission), bound)
            for wait in waits
            if wait.is_pending and not run.is_finished
        ],
        answered=[_wait_view(wait, veil, False, None) for wait in waits if wait.answered_at is not None],
        errors=[_error_view(number, error) for number, error in reversed(list(enumerate(run.errors)))],
        payloads=list(_payloads(run, veil)),
        family=family_of(run, checkpoints, using=using, narrow=narrow, address=address),
    )


def _line_views(
    lines: Iterable[TimelineLine], checkpoints: Iterable[CheckpointSnapshot], veil: Veil
) -> Iterator[LineView]:
    seconds = {checkpoint.path: checkpoint.seconds for checkpoint in checkpoints}
    previous: datetime | None = None
    for line in lines:
        facts = line.value
        # A workflow's own audit lines hold values of its author's; those of acts and commands say who acted.
        is_act = line.kind in BY_OPERATORS and isinstance(facts, dict) and "act" in facts
        is_command = line.kind is StepKind.AUDIT and isinstance(facts, dict) and "command" in facts
        by = str(facts.get("by", "")) if is_act or is_command else ""
        value = None if is_act else facts
        yield LineView(
            line=line,
            at=look.moment(line.created_at, form="H:i:s"),
            since=duration(max(0.0, (line.created_at - previous).total_seconds())) if previous else "",
            path=plain(line.path),
            message=plain(line.remark),
            took=duration(seconds.get(line.path)) if line.kind is StepKind.STEP else "",
            by=plain(by),
            value="" if value is None else compact(veil(value), longest=LONGEST_IN_LINE),
        )
        previous = line.created_at


def _error_view(number: int, error: ErrorSnapshot) -> ErrorView:
    return ErrorView(
        number=number,
        attempt=error.attempt,
        class_path=plain(error.exception_class_path),
        message=plain(error.message),
        traceback=plain(error.traceback),
        code=plain(error.code),
    )


def _wait_view(wait: WaitSnapshot, veil: Veil, may_answer: bool, bound: Bound | None) -> WaitView:
    # The question is meant for whoever may answer it, with or without the right to see payloads.
    request = veil.masked(wait.request) if may_answer else veil(wait.request)
    own = bound.form if bound is not None and bound.token == wait.token else None
    asked, lacks_form = asked_form(wait, own) if may_answer else (None, "")
    form = None
    if may_answer and not lacks_form:
        fresh = AnswerForm(initial={"token": wait.token}, auto_id=f"id_{wait.token[:8]}_%s")
        form = own if isinstance(own, AnswerForm) else fresh
    return WaitView(
        path=plain(wait.path),
        answered_by=plain(wait.answered_by),
        question=question_of(request),
        request=pretty(request, longest=LONGEST_VALUE),
        answer="" if wait.answered_at is None else pretty(veil(wait.answer), longest=LONGEST_VALUE),
        choices=choices_of(wait, request),
        deadline=look.moment(wait.deadline) if wait.deadline else SafeString(""),
        permission=plain(wait.permission),
        form=form,
        asked=asked,
        lacks_form=plain(lacks_form),
    )


def _payloads(run: RunSnapshot, veil: Veil) -> Iterator[Payload]:
    shown = run.as_dict(show=veil)
    titles = {
        "args": _("Arguments"),
        "kwargs": _("Keyword arguments"),
        "result": _("Result"),
        "metadata": _("Metadata"),
    }
    for key, title in titles.items():
        is_there = run.result_text is not None if key == "result" else shown[key]
        if is_there:
            yield Payload(title=title, text=pretty(shown[key], longest=LONGEST_VALUE))
    if shown["workflow"] is not None:
        yield Payload(title=_("State"), text=pretty(shown["workflow"]["state"], longest=LONGEST_VALUE))
    if run.progress.meta_text:
        yield Payload(title=_("Progress details"), text=pretty(shown["progress"]["meta"], longest=LONGEST_VALUE))
