"""What operators may do to a run's history: let another run go on from a place in it, or go back to a place in it.

What comes before a place is what was written before its checkpoint: the run as it stood just before that primitive was done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any
from uuid import UUID

from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import InvalidTransition, UnknownPath
from django_tasks_durable.models import Checkpoint, Step, Wait
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.origins import ENQUEUED_BY
from django_tasks_durable.primitives.portable import PortableRun
from django_tasks_durable.primitives.status import FINISHED, LEASED, CheckpointKind, RunStatus, StepKind, WakeReason
from django_tasks_durable.primitives.undone import undone
from django_tasks_durable.primitives.writes import UNSTAGED, CheckpointRecord

from . import transfers, vendors
from .changes import changing

NEAR = 3


def fork(run_id: UUID, path: str, *, values: Mapping[str, Any] | None = None, using: str, by: str = "") -> UUID:
    """Put a new run into the store that goes on from a place in the history of this one; return its id.

    It keeps what this run did before ``path``; that and all after it is done again. ``values`` gives other values to what is
    kept, and to ``path`` itself, which then is kept too. Nothing happens to the first run. Raise RunNotFound, UnknownPath, or
    InvalidTransition for a run that a worker holds.
    """
    values = values or {}
    with vendors.write_transaction(using):
        run = transfers.take_out(run_id, using=using)
        if run.status in LEASED:
            raise InvalidTransition(run_id, "fork", run.status.lower())
        kept = _kept(run, path, run_id, includes=path in values)
        if unknown := [each for each in values if each not in {record.path for record in kept}]:
            raise UnknownPath(run_id, unknown[0], _near(unknown[0], [record.path for record in kept]))
        limit = get_options(run.backend).max_payload_bytes
        edited = tuple(_edited(each, values, limit) for each in kept)
        forked = _begun_anew(run, edited, _partials_before(run, run_id, kept, using))
        return transfers.bring_in(replace(forked, forked_from=run_id), using=using, by=by)


def copy(run_id: UUID, *, using: str, by: str = "") -> UUID:
    """Put a new run into the store with the call of this one and nothing of its history, due now; return its id.

    It has none of the keys of this run, to which nothing happens. Raise RunNotFound.
    """
    with vendors.write_transaction(using):
        run = transfers.take_out(run_id, using=using)
        metadata = codec.decode(run.metadata) | ({ENQUEUED_BY: by} if by else {})
        anew = replace(
            _begun_anew(run, (), ()),
            metadata=codec.encode(metadata, where="metadata"),
            stage=UNSTAGED,
            partials_before_visit=0,
            forked_from=run_id,
        )
        return transfers.bring_in(anew, using=using, by=by)


def clear(run_id: UUID, path: str, *, using: str, by: str = "") -> list[str]:
    """Forget what a run did at ``path`` and after it, so that it is done again; return the paths that are gone.

    A run that waits or sleeps is due now; one that failed or was cancelled needs a retry. Raise RunNotFound, UnknownPath, or
    InvalidTransition for a run that a worker holds or that ended well.
    """
    with changing(run_id, using, act="clear", by=by) as change:
        run = change.run
        if run.status in LEASED or run.status == RunStatus.SUCCESSFUL:
            raise change.refusal()
        records = Checkpoint.objects.using(using).filter(run_id=run_id)
        waits = Wait.objects.using(using).filter(run_id=run_id)
        paths = list(records.order_by("id").values_list("path", flat=True))
        asked = [each for each in waits.values_list("path", flat=True) if each not in paths]
        gone = [*_from(paths, path, run_id, asked), *asked]
        records.filter(path__in=gone).delete()
        waits.filter(path__in=gone).delete()
        if run.status not in FINISHED:
            if run.status == RunStatus.WAITING:
                change.move(RunStatus.READY)
            change.wake(WakeReason.OPERATOR)
        change.say(StepKind.AUDIT, f"Cleared {path}, {len(gone)} in all", path=path)
        return gone


def _from(paths: list[str], path: str, run_id: UUID, asked: list[str]) -> list[str]:
    """Return this path and all that were written after it, with the failed tries that led to it."""
    if path in asked:
        return []
    if path not in paths:
        raise UnknownPath(run_id, path, _near(path, [*paths, *asked]))
    place = paths.index(path)
    return [each for each in paths[:place] if each.startswith(f"{path}!")] + paths[place:]


def _near(path: str, paths: list[str]) -> list[str]:
    close = [each for each in paths if each.endswith(f":{path}")] + get_close_matches(path, paths, NEAR, 0.5)
    return list(dict.fromkeys(close or paths))[:NEAR]


def _kept(run: PortableRun, path: str, run_id: UUID, *, includes: bool) -> list[CheckpointRecord]:
    paths = [record.path for record in run.checkpoints]
    gone = set(_from(paths, path, run_id, [wait.path for wait in run.waits if wait.path not in paths]))
    if includes:
        gone.discard(path)
    # What was undone is undone, wherever the fork begins.
    gone |= undone((record.path, record.kind, record.failed) for record in run.checkpoints)
    return [record for record in run.checkpoints if record.path not in gone]


def _edited(record: CheckpointRecord, values: Mapping[str, Any], limit: int) -> CheckpointRecord:
    if record.path not in values:
        return record
    text = codec.encode(values[record.path], where=f'values["{record.path}"]', limit=limit)
    if record.kind is CheckpointKind.CALL:
        text = f'{{"partials":[],"value":{text}}}'
    return replace(record, value=text, failed=False)


def _begun_anew(
    run: PortableRun, kept: tuple[CheckpointRecord, ...], partials: tuple[tuple[str, str], ...]
) -> PortableRun:
    done = {record.path for record in kept}
    return replace(
        run,
        run_id=None,
        status=RunStatus.READY,
        wake_reason=WakeReason.OPERATOR,
        cancel_requested=False,
        attempts=0,
        inbox=0,
        enqueued_at=None,
        run_after=None,
        due_at=None,
        started_at=None,
        finished_at=None,
        result=None,
        errors="[]",
        error_code="",
        worker_ids="[]",
        percent=None,
        label="",
        meta="",
        checkpoints=kept,
        waits=tuple(wait for wait in run.waits if wait.path in done),
        partials=partials,
        messages=(),
    )


def _partials_before(
    run: PortableRun, run_id: UUID, kept: list[CheckpointRecord], using: str
) -> tuple[tuple[str, str], ...]:
    """Return the partials that were told before anything that the fork does again."""
    done = {record.path for record in kept}
    again = [record.path for record in run.checkpoints if record.path not in done]
    again += [wait.path for wait in run.waits if wait.path not in done]
    lines = Step.objects.using(using).filter(run_id=run_id)
    first = lines.filter(path__in=again).exclude(kind=StepKind.PARTIAL).order_by("sequence").first()
    told = lines.filter(kind=StepKind.PARTIAL)
    if first is not None:
        told = told.filter(sequence__lt=first.sequence)
    return tuple(told.order_by("sequence").values_list("path", "data"))
