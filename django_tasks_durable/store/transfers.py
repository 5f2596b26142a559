"""What operators may do between stores: take a run out of the database as a value, and bring one in with its history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import IntegrityError

from django_tasks_durable import signals
from django_tasks_durable.authoring.keys import Keys
from django_tasks_durable.exceptions import RunExists, RunNotFound
from django_tasks_durable.primitives import lanes
from django_tasks_durable.primitives.channels import told_in
from django_tasks_durable.primitives.ids import new_id, new_token
from django_tasks_durable.primitives.keys import KeyKind
from django_tasks_durable.primitives.portable import PortableRun
from django_tasks_durable.primitives.status import CheckpointKind, RunStatus, StepKind, WakeReason
from django_tasks_durable.primitives.writes import CheckpointRecord, MessageRecord, Stage, WaitRecord

from . import channels, intake, keys, vendors
from .news import tell
from .tables import CHECKPOINTS, MESSAGES, RUNS, STEPS, WAITS

LIMITS = ("attempts", "max_attempts", "max_deliveries")
PAYLOADS = ("args", "kwargs", "options", "metadata", "result", "errors", "worker_ids")
PLAIN = ("task_path", "backend", "queue_name", "priority", "inbox", "error_code", "code_version", *LIMITS)
INSTANTS = ("enqueued_at", "run_after", "due_at", "started_at", "finished_at")
PROGRESS = {"percent": "progress_percent", "label": "progress_label", "meta": "progress_meta"}
STAGE = {
    "state": "workflow_state",
    "step": "workflow_step",
    "visit": "visit",
    "sequence": "visit_sequence",
    "version": "state_version",
}
CHECKPOINT_COLUMNS = "path, kind, position, fingerprint, failed, value, seconds"
WAIT_COLUMNS = (
    "path, kind, position, fingerprint, token, request, permission, form, event, has_default, deadline, answer"
)


def take_out(run_id: UUID, *, using: str) -> PortableRun:
    """Read a run as it stands, with its history; it stays where it is. Holds its row meanwhile. Raise RunNotFound."""
    session = vendors.session(using)
    names = [*PAYLOADS, *PLAIN, *INSTANTS, *PROGRESS.values(), "status", "wake_reason", "cancel_requested_at"]
    names += STAGE.values()
    identity = (session.uuid(run_id),)
    with session.transaction():
        # What an attempt commits meanwhile would be half of it in one query's answer and half in another's.
        rows = session.execute(f"SELECT {', '.join(names)} FROM {RUNS} WHERE id = %s {session.brand.lock}", identity)
        if not rows:
            raise RunNotFound(run_id)
        row = dict(zip(names, rows[0], strict=True))
        checkpoints, waits = checkpoints_of(session, run_id), waits_of(session, run_id)
        messages = session.execute(
            f"SELECT id, name, payload FROM {MESSAGES} WHERE run_id = %s AND consumed_path = '' ORDER BY id", identity
        )
        partials = session.execute(
            f"SELECT path, data, sequence FROM {STEPS} WHERE run_id = %s AND kind = '{StepKind.PARTIAL}' ORDER BY sequence",
            identity,
        )
        now = session.now_at()
    columns: dict[str, Any] = {name: row[name] for name in (*PAYLOADS, *PLAIN)}
    columns |= {name: session.instant_or_none(row[name]) for name in INSTANTS}
    columns |= {name: row[column] for name, column in PROGRESS.items()}
    return PortableRun(
        **columns,
        run_id=run_id,
        status=RunStatus(row["status"]),
        wake_reason=WakeReason(row["wake_reason"]),
        cancel_requested=row["cancel_requested_at"] is not None,
        read_at=now,
        checkpoints=checkpoints,
        waits=waits,
        messages=tuple(MessageRecord(id=id, name=name, payload=payload) for id, name, payload in messages),
        partials=tuple((path, data) for path, data, _ in partials),
        stage=Stage(**{name: row[column] for name, column in STAGE.items()}),
        partials_before_visit=sum(1 for _, _, sequence in partials if sequence <= row["visit_sequence"]),
    )


def checkpoints_of(session: vendors.Session, run_id: UUID) -> tuple[CheckpointRecord, ...]:
    """Read the checkpoints of a run in the order in which they were written."""
    sql = f"SELECT {CHECKPOINT_COLUMNS} FROM {CHECKPOINTS} WHERE run_id = %s ORDER BY id"
    return tuple(_checkpoint(values) for values in session.execute(sql, (session.uuid(run_id),)))


def waits_of(session: vendors.Session, run_id: UUID) -> tuple[WaitRecord, ...]:
    """Read the questions of a run in the order in which they were asked."""
    sql = f"SELECT {WAIT_COLUMNS} FROM {WAITS} WHERE run_id = %s ORDER BY id"
    return tuple(_wait(session, values) for values in session.execute(sql, (session.uuid(run_id),)))


def bring_in(
    run: PortableRun, *, using: str, run_id: UUID | None = None, name: str | None = None, by: str = ""
) -> UUID:
    """Put a run into the database with its history, to go on there; all of it or nothing. Return its id.

    Inside the caller's transaction it exists if and only if that commits. A question keeps its token unless another one here
    has it. ``name`` is to be the caller's own id. Raise RunExists when there is a run of this id, or an open one of this name.
    """
    session = vendors.session(using)
    run_id = run_id or new_id()
    landed = keys.patiently(session, partial(_bring_in, session, run, run_id, name or "", by))
    if landed.status is RunStatus.READY:
        intake.announce(session, landed.queue_name)
    news = partial(signals.run_changed.send, None, using=using, run_ids=[run_id])
    tell(news, session.alias)
    return run_id


def _bring_in(session: vendors.Session, run: PortableRun, run_id: UUID, name: str, by: str) -> PortableRun:
    try:
        with session.transaction():
            if name:
                session.begin_writing()
                _take_name(session, run, run_id, name)
            arrival = _Arrival(session, run_id, session.now_at(), name)
            landed = run.landed(arrival.now)
            if arrival.is_taken:
                raise RunExists(run_id)
            arrival.insert(landed, by)
    except IntegrityError as error:
        raise RunExists(run_id) from error
    return landed


def _take_name(session: vendors.Session, run: PortableRun, run_id: UUID, name: str) -> None:
    texts = [(KeyKind.RUN, Keys(run_id=name).run_id)]
    (named,) = keys.names_of(run.task_path, run.args, run.kwargs, texts, keys.IDEMPOTENT_FOR)
    holder = keys.holders(session, [named.key]).get(named.key)
    if holder is not None and holder.is_live:
        raise RunExists(name)
    keys.take(session, named, run_id, holder)


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A run on its way into the database, in one transaction at one instant."""

    session: vendors.Session
    run_id: UUID
    now: datetime
    name: str

    @property
    def is_taken(self) -> bool:
        """Whether there is a run of this id."""
        return bool(self.session.execute(f"SELECT 1 FROM {RUNS} WHERE id = %s", (self.session.uuid(self.run_id),)))

    def insert(self, run: PortableRun, by: str) -> None:
        """Write all its rows."""
        lines = [(StepKind.ENQUEUED, "", "", ""), *((StepKind.PARTIAL, path, "", text) for path, text in run.partials)]
        lines.append((StepKind.AUDIT, "", f"{_origin(run)} by {by}" if by else _origin(run), ""))
        self._row(run, len(lines))
        channels.enter(self.session, [(self.run_id, told_in(run.options))])
        self._many(
            CHECKPOINTS,
            f"{CHECKPOINT_COLUMNS}, attempt, created_at",
            [
                (
                    r.path,
                    r.kind.value,
                    r.position,
                    r.fingerprint,
                    r.failed,
                    r.value,
                    r.seconds,
                    run.attempts + 1,
                    self._moment,
                )
                for r in run.checkpoints
            ],
        )
        self._many(
            WAITS,
            f"{WAIT_COLUMNS}, created_at, answered_at, answered_by",
            [
                (
                    w.path, w.kind, w.position, w.fingerprint, w.token, w.request, w.permission, w.form, w.event,
                    w.has_default, self.session.moment(w.deadline), w.answer,
                    self._moment, None if w.answer is None else self._moment, "",
                )
                for w in self._with_free_tokens(run.waits)
            ],
        )  # fmt: skip
        self._many(
            MESSAGES,
            "name, payload, sent_at, sent_by, consumed_path",
            [(message.name, message.payload, self._moment, "", "") for message in run.messages],
        )
        self._many(
            STEPS,
            "sequence, kind, level, attempt, path, message, data, created_at",
            [
                (sequence, kind.value, "info", run.attempts, path, message, data, self._moment)
                for sequence, (kind, path, message, data) in enumerate(lines, 1)
            ],
        )

    @property
    def _moment(self) -> Any:
        return self.session.moment(self.now)

    def _row(self, run: PortableRun, lines: int) -> None:
        values: dict[str, Any] = {name: getattr(run, name) for name in (*PAYLOADS, *PLAIN)}
        values |= {name: self.session.moment(getattr(run, name)) for name in INSTANTS}
        values |= {column: getattr(run, name) for name, column in PROGRESS.items()}
        values |= {column: getattr(run.arrived_stage, name) for name, column in STAGE.items()}
        values |= {
            "id": self.session.uuid(self.run_id),
            "status": run.status.value,
            "wake_reason": run.wake_reason.value,
            "ready_rank": -run.priority,
            "version": 1,
            "forked_from": None if run.forked_from is None else self.session.uuid(run.forked_from),
            "crashes": 0,
            "deliveries": 0,
            "lease_worker": "",
            # As if it had been claimed once before: a first claim would not look for a history.
            "lease_token": 1,
            "cancel_reason": "",
            "cancel_requested_at": self._moment if run.status is RunStatus.CANCELLED else None,
            "last_sequence": lines,
            "first_sequence": 1,
            # The runs of this database hold its names; one from elsewhere comes without, but for the one it is given here.
            **dict.fromkeys(keys.COLUMNS.split(", "), ""),
            # Parents and children stay where they are.
            "parent_path": "",
            "outlives_parent": False,
            "awaited": "",
            "caller_id": self.name,
            **dict(zip(lanes.COLUMNS.split(", "), lanes.spot_of(run.task_path, run.options).columns, strict=True)),
        }
        marks = ", ".join(["%s"] * len(values))
        self.session.execute(f"INSERT INTO {RUNS} ({', '.join(values)}) VALUES ({marks})", list(values.values()))

    def _many(self, table: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> None:
        marks = ", ".join(["%s"] * (columns.count(",") + 2))
        run_id = self.session.uuid(self.run_id)
        self.session.execute_many(
            f"INSERT INTO {table} (run_id, {columns}) VALUES ({marks})", [(run_id, *row) for row in rows]
        )

    def _with_free_tokens(self, waits: Sequence[WaitRecord]) -> list[WaitRecord]:
        if not waits:
            return []
        marks = ", ".join(["%s"] * len(waits))
        tokens = [wait.token for wait in waits]
        taken = {row[0] for row in self.session.execute(f"SELECT token FROM {WAITS} WHERE token IN ({marks})", tokens)}
        return [replace(wait, token=new_token()) if not wait.token or wait.token in taken else wait for wait in waits]


def _origin(run: PortableRun) -> str:
    if run.forked_from is None:
        return "Imported"
    # A fork from the very beginning is a copy.
    return f"{'Forked' if run.checkpoints else 'Copied'} from {run.forked_from}"


def _checkpoint(values: tuple[Any, ...]) -> CheckpointRecord:
    path, kind, position, fingerprint, failed, value, seconds = values
    return CheckpointRecord(
        path=path,
        kind=CheckpointKind(kind),
        position=position,
        fingerprint=fingerprint,
        failed=bool(failed),
        value=value,
        seconds=seconds,
    )


def _wait(session: vendors.Session, values: tuple[Any, ...]) -> WaitRecord:
    path, kind, position, fingerprint, token, request, permission, form, event, has_default, deadline, answer = values
    return WaitRecord(
        path=path,
        kind=kind,
        position=position,
        fingerprint=fingerprint,
        token=token,
        request=request,
        permission=permission,
        form=form,
        event=event,
        has_default=bool(has_default),
        deadline=session.instant_or_none(deadline),
        answer=answer,
    )
