"""What anybody may send to runs, by their ids: messages, and events told to all that wait for them.

The store is imported inside the functions, see backend.py.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async

from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import RunNotFound
from django_tasks_durable.primitives.status import RunStatus


def send(run_id: UUID | str, name: str, payload: Any = None, *, by: str = "", backend: str = "default") -> RunStatus:
    """Send a message to a run: it exists if and only if the caller's transaction commits.

    It waits at the run until ``context.recv(name)`` takes it, even if the run has not begun. Raise RunNotFound, or
    TakesNoMessages when the run is over.
    """
    from django_tasks_durable.store import messages

    try:
        wanted = run_id if isinstance(run_id, UUID) else UUID(run_id)
    except ValueError:
        raise RunNotFound(run_id) from None
    return messages.send(wanted, name, payload, using=get_options(backend).database, by=by)


async def asend(
    run_id: UUID | str, name: str, payload: Any = None, *, by: str = "", backend: str = "default"
) -> RunStatus:
    """See send()."""
    return await sync_to_async(send, thread_sensitive=True)(run_id, name, payload, by=by, backend=backend)


def broadcast(name: str, payload: Any = None, *, by: str = "", backend: str = "default") -> int:
    """Answer every run that waits for an event with ``context.wait_event(name)``, and return how many waits there were.

    It happens if and only if the caller's transaction commits. A run that begins to wait later does not hear of it.
    """
    from django_tasks_durable.store import events

    options = get_options(backend)
    return events.broadcast(name, payload, using=options.database, limit=options.max_payload_bytes, by=by)


async def abroadcast(name: str, payload: Any = None, *, by: str = "", backend: str = "default") -> int:
    """See broadcast()."""
    return await sync_to_async(broadcast, thread_sensitive=True)(name, payload, by=by, backend=backend)
