"""A history written anew for another version of the code."""

from __future__ import annotations

from uuid import UUID

from django_tasks_durable.primitives.writes import Migrated

from .tables import CHECKPOINTS, WAITS
from .vendors import Session


def clear(session: Session, run_id: UUID, rewritten: Migrated) -> None:
    """Make room for the checkpoints of a history, and move its waits, under the run's lock."""
    identity = session.uuid(run_id)
    session.execute(f"DELETE FROM {CHECKPOINTS} WHERE run_id = %s", (identity,))
    rows = session.execute(f"SELECT token, path, position FROM {WAITS} WHERE run_id = %s", (identity,))
    stored = {token: (path, position) for token, path, position in rows}
    kept = {wait.token: (wait.path, wait.position) for wait in rewritten.waits}
    for token in stored.keys() - kept.keys():
        session.execute(f"DELETE FROM {WAITS} WHERE token = %s", (token,))
    moved = {token: place for token, place in kept.items() if stored.get(token, place) != place}
    # Two may change places, and no two of a run may stand at one path in between.
    for token in moved:
        session.execute(f"UPDATE {WAITS} SET path = %s WHERE token = %s", (token, token))
    for token, (path, position) in moved.items():
        session.execute(f"UPDATE {WAITS} SET path = %s, position = %s WHERE token = %s", (path, position, token))
