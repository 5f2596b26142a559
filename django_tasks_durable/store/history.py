"""What an attempt may read: the history of its own run, in one look."""

from __future__ import annotations

from django_tasks_durable.primitives.status import CheckpointKind
from django_tasks_durable.primitives.writes import CheckpointRecord, ClaimedRun, History, MessageRecord, WaitRecord

from . import children
from .awaiting import interest_in
from .tables import CHECKPOINTS, MESSAGES, RUNS, STEPS, WAITS
from .vendors import Session

# Paths are compared byte by byte, everywhere: this is what follows the slash.
AFTER_SLASH = "0"


def read(session: Session, claimed: ClaimedRun) -> History:
    """Read what earlier slices left behind: all of it, or of a workflow only what belongs to the visit under way.

    The inbox is read *before* the answers: an answer that comes in between raises it, and the suspension notices.
    """
    run_id = session.uuid(claimed.run_id)
    inbox = session.execute(f"SELECT inbox FROM {RUNS} WHERE id = %s", (run_id,))
    within, bounds = _within(claimed.stage.prefix)
    checkpoints = session.execute(
        f"SELECT path, kind, position, fingerprint, failed, value FROM {CHECKPOINTS} WHERE run_id = %s{within} ORDER BY id",
        (run_id, *bounds),
    )
    waits = session.execute(
        f"SELECT path, kind, position, fingerprint, token, request, deadline, answer FROM {WAITS} "
        f"WHERE run_id = %s{within} ORDER BY id",
        (run_id, *bounds),
    )
    # Every message raised the inbox; a run that was never sent one is not asked.
    messages = (
        session.execute(
            f"SELECT id, name, payload FROM {MESSAGES} WHERE run_id = %s AND consumed_path = '' ORDER BY id",
            (run_id,),
        )
        if inbox and inbox[0][0]
        else ()
    )
    partials = session.execute(
        f"SELECT path, COUNT(*) FROM {STEPS} WHERE run_id = %s AND sequence > %s AND kind = 'partial' GROUP BY path",
        (run_id, claimed.stage.sequence),
    )
    records = [
        CheckpointRecord(
            path=path,
            kind=CheckpointKind(kind),
            position=position,
            fingerprint=fingerprint,
            failed=bool(failed),
            value=value,
        )
        for path, kind, position, fingerprint, failed, value in checkpoints
    ]
    interest = interest_in(records)
    return History(
        checkpoints=records,
        waits=[
            WaitRecord(
                path=path,
                kind=kind,
                position=position,
                fingerprint=fingerprint,
                token=token,
                request=request,
                deadline=session.instant_or_none(deadline),
                answer=answer,
            )
            for path, kind, position, fingerprint, token, request, deadline, answer in waits
        ],
        messages=[MessageRecord(id=id, name=name, payload=payload) for id, name, payload in messages],
        partials=dict(partials),
        children=children.read(session, interest),
        streamed=children.streamed(session, interest),
        inbox=inbox[0][0] if inbox else claimed.inbox,
    )


def _within(prefix: str) -> tuple[str, tuple[str, ...]]:
    """Narrow paths to those under a prefix, in a way that the index of (run, path) answers on every database."""
    return (" AND path >= %s AND path < %s", (prefix, f"{prefix[:-1]}{AFTER_SLASH}")) if prefix else ("", ())
