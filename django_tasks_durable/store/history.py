"""What an attempt may read: the history of its own run, in one look."""

from __future__ import annotations

from django_tasks_durable.primitives.status import CheckpointKind
from django_tasks_durable.primitives.writes import CheckpointRecord, ClaimedRun, History, MessageRecord, WaitRecord

from . import children
from .awaiting import interest_in
from .vendors import Session


def read(session: Session, claimed: ClaimedRun) -> History:
    """Read all that earlier slices left behind.

    The inbox is read *before* the answers: an answer that comes in between raises it, and the suspension notices.
    """
    run_id = session.uuid(claimed.run_id)
    inbox = session.execute("SELECT inbox FROM durable_tasks_taskrun WHERE id = %s", (run_id,))
    checkpoints = session.execute(
        "SELECT path, kind, position, fingerprint, failed, value FROM durable_tasks_checkpoint WHERE run_id = %s "
        "ORDER BY id",
        (run_id,),
    )
    waits = session.execute(
        "SELECT path, kind, position, fingerprint, token, request, deadline, answer FROM durable_tasks_wait "
        "WHERE run_id = %s ORDER BY id",
        (run_id,),
    )
    # Every message raised the inbox; a run that was never sent one is not asked.
    messages = (
        session.execute(
            "SELECT id, name, payload FROM durable_tasks_message WHERE run_id = %s AND consumed_path = '' ORDER BY id",
            (run_id,),
        )
        if inbox and inbox[0][0]
        else ()
    )
    partials = session.execute(
        "SELECT path, COUNT(*) FROM durable_tasks_step WHERE run_id = %s AND kind = 'partial' GROUP BY path", (run_id,)
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
