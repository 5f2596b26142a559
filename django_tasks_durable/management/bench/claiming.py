"""Claims with nobody to run what they bring: the store's own three parts of one, as the worker's writer takes them."""

from __future__ import annotations

from collections.abc import Sequence

from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.ids import new_worker_id
from django_tasks_durable.store import claims, vendors, workers

from . import rows

LEASE_SECONDS = 300
AT_ONCE = 250


def rate(task_paths: Sequence[str], count: int, *, using: str = "default") -> float:
    """Claim so many due runs of these tasks, a transaction for each 250, and return how many a second."""
    session = vendors.private_session(using, is_direct=True)
    worker_id = new_worker_id("claiming")
    try:
        with session.transaction():
            workers.register(session, worker_id, queues=None, concurrency=1, lease_seconds=LEASE_SECONDS)
        wanted = claims.Wanted(worker_id=worker_id, task_paths=task_paths)
        begun, claimed = clock.monotonic(), 0
        while claimed < count:
            heads = claims.ready_heads(session, wanted)
            offers = claims.look(session, wanted, heads, limit=AT_ONCE)
            with session.transaction():
                brought = claims.claim(session, wanted, limit=AT_ONCE, heads=heads, offers=offers)
            if not brought:
                raise rows.TookTooLong(f"Of {count} due runs only {claimed} could be claimed.")
            claimed += len(brought)
        elapsed = clock.monotonic() - begun
        workers.leave(session, worker_id)
        return count / elapsed
    finally:
        session.close()
