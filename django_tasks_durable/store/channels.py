"""The channels that runs were given, written down where they are looked for."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from .tables import CHANNELS
from .vendors import Session


def enter(session: Session, born: Iterable[tuple[UUID, Iterable[str]]]) -> None:
    """Write down the channels of new runs, in the transaction that puts these into the store; none cost nothing."""
    session.execute_many(
        f"INSERT INTO {CHANNELS} (name, run_id) VALUES (%s, %s)",
        [(name, session.uuid(run_id)) for run_id, names in born for name in names],
    )
