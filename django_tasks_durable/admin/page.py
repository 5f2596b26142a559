"""What the page of one task shows, ready for its template."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_tasks_durable.authoring.tasks import registered
from django_tasks_durable.authoring.workflow_tasks import WorkflowTask
from django_tasks_durable.primitives.status import StepKind
from django_tasks_durable.snapshots import read, spans
from django_tasks_durable.snapshots.policy import Veil
from django_tasks_durable.snapshots.shapes import Act, RunSnapshot
from django_tasks_durable.snapshots.spans import Span
from django_tasks_durable.snapshots.standstill import standstill
from django_tasks_durable.snapshots.text import compact, duration, plain, pretty

from . import drawing, look, standing
from .answering import Bound
from .asking import WaitView, wait_view
from .attempts import AttemptView, attempts_of
from .family import Family, family_of
from .lines import LineView, line_views
from .standing import StandingView
from .tree import LONGEST_VALUE, Node, grow

PARTIALS = 50
LONGEST_PARTIAL = 1_000
KEY_NAMES = {
    "dedupe": gettext_lazy("Dedupe key"),
    "supersede": gettext_lazy("Supersede key"),
    "idempotency": gettext_lazy("Idempotency key"),
    "run": gettext_lazy("Caller's id"),
    "concurrency": gettext_lazy("Concurrency key"),
}


@dataclass(frozen=True, kw_only=True)
class PartialView:
    """One value that the task gave before its end."""

    sequence: int
    at: SafeString
    text: str


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
    attempts: Sequence[AttemptView]
    spans: Sequence[Span]
    partials: Sequence[PartialView]
    graph: SafeString
    payloads: Sequence[Payload]
    family: Family
    standing: Sequence[StandingView]

    @property
    def standing_title(self) -> str:
        """What stands above the reasons for which the run does not move."""
        return standing.title(self.run)

    @property
    def badge(self) -> SafeString:
        """The run's state."""
        return look.badge(self.run)

    @property
    def progress(self) -> SafeString:
        """How far the run is."""
        return look.progress(self.run)

    @property
    def has_progress(self) -> bool:
        """Whether the run says how far it is."""
        return self.run.percent is not None or bool(self.run.progress.label)

    @property
    def path(self) -> str:
        """The path of the task."""
        return plain(self.run.task_path)

    @property
    def queue(self) -> str:
        """The run's queue."""
        return plain(self.run.queue_name)

    @property
    def band(self) -> SafeString:
        """How the run spent its time, drawn."""
        return drawing.time_band(self.spans)

    @property
    def time_spent(self) -> list[tuple[str, str, str]]:
        """How long the run did each thing: its slug, its name, the duration."""
        return [(kind.slug, kind.label, duration(seconds)) for kind, seconds in spans.totals(self.spans).items()]

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
    def may_copy(self) -> bool:
        """Whether this user may run this run again as a copy."""
        return Act.COPY in self.acts

    @property
    def may_fork(self) -> bool:
        """Whether this user may fork this run as it stands."""
        return Act.FORK in self.acts

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
        if run.enqueued_by:
            yield _("Enqueued by"), plain(run.enqueued_by)
        elif run.schedule:
            yield _("Enqueued by"), _("schedule %s") % plain(run.schedule)
        elif run.parent_id is not None:
            yield _("Enqueued by"), _("another task")
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
        for kind, text in run.keys.items():
            yield str(KEY_NAMES[kind]), plain(text)
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
    unpause_url: str = "",
) -> Page:
    """Read what the page of a run shows beside the run itself."""
    lines = read.timeline(run.id, before=before, using=using)
    found = spans.spans(run, using=using)
    checkpoints = read.checkpoints(run.id, using=using)
    waits = read.waits(run.id, pending=False, using=using)
    return Page(
        run=run,
        acts=acts,
        is_known=run.task_path in registered(),
        lines=tuple(reversed(list(line_views(lines, checkpoints, veil)))),
        has_earlier=bool(lines) and lines[0].sequence > run.first_sequence,
        trimmed_before=run.first_sequence if run.first_sequence > 1 else 0,
        tree=grow(checkpoints, veil),
        checkpoints_left_out=len(checkpoints) == read.CHECKPOINT_LIMIT,
        waits=[
            wait_view(wait, veil, Act.RESUME in acts and may_answer(wait.permission), bound)
            for wait in waits
            if wait.is_pending and not run.is_finished
        ],
        answered=[wait_view(wait, veil, False, None) for wait in waits if wait.answered_at is not None],
        attempts=attempts_of(found, run.errors),
        spans=found,
        partials=list(_partials(run, veil, using)),
        graph=_graph(run),
        payloads=list(_payloads(run, veil)),
        family=family_of(run, checkpoints, using=using, narrow=narrow, address=address),
        standing=list(
            standing.standing_views(
                standstill(
                    run,
                    using=using,
                    known=registered(),
                    narrow=narrow,
                    asked=[wait for wait in waits if wait.is_pending],
                ),
                run,
                address=address,
                unpause_url=unpause_url,
            )
        ),
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


def _partials(run: RunSnapshot, veil: Veil, using: str) -> Iterator[PartialView]:
    for line in reversed(read.timeline(run.id, kind=StepKind.PARTIAL, limit=PARTIALS, using=using)):
        text = compact(veil(line.value), longest=LONGEST_PARTIAL)
        yield PartialView(sequence=line.sequence, at=look.moment(line.created_at, form="H:i:s"), text=text)


def _graph(run: RunSnapshot) -> SafeString:
    """Draw where a class workflow stands, as this process's code has it; nothing for a function, or when its code is gone."""
    task = registered().get(run.task_path)
    if not isinstance(task, WorkflowTask):
        return SafeString("")
    graph = task.workflow.graph()
    return drawing.workflow(graph, current=run.workflow_step or graph["start"], is_over=run.is_finished)
