"""What an operator does with kept snapshots, on any SnapshotStore."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from django_tasks_durable.exceptions import PersistenceFailed, SnapshotFormat

from .shelves import LISTED, KeptSnapshot, SnapshotStore
from .validation import assert_valid_snapshot

AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class DeletedSnapshots:
    """The names that were there and are gone, and why others could not be deleted."""

    deleted: tuple[str, ...] = ()
    failed: Mapping[str, Exception] = field(default_factory=dict)


def has_snapshot(store: SnapshotStore, name: str) -> bool:
    """Tell whether there is a snapshot of this name, be it damaged."""
    try:
        return store.load(name) is not None
    except SnapshotFormat:
        return True


def delete_snapshot(store: SnapshotStore, name: str) -> bool:
    """Forget the snapshot of this name and tell whether there was one."""
    was_there = has_snapshot(store, name)
    store.delete(name)
    return was_there


def delete_snapshots(
    store: SnapshotStore, names: Iterable[str], *, at_once: int = AT_ONCE, continue_on_error: bool = False
) -> DeletedSnapshots:
    """Forget the snapshots of these names, some at once on threads of their own.

    The first error is raised when every deletion under way has ended; with ``continue_on_error`` each is told in ``failed``.
    """
    if at_once < 1:
        raise ValueError(f"at_once={at_once}: give a whole number from 1.")
    deleted: list[str] = []
    failed: dict[str, Exception] = {}
    wanted = list(dict.fromkeys(names))
    with ThreadPoolExecutor(at_once, thread_name_prefix="dtd-snapshots") as pool:
        for start in range(0, len(wanted), at_once):
            batch = wanted[start : start + at_once]
            futures = {name: pool.submit(delete_snapshot, store, name) for name in batch}
            for name, future in futures.items():
                error = future.exception()
                if isinstance(error, Exception):
                    failed[name] = error
                elif future.result():
                    deleted.append(name)
            if failed and not continue_on_error:
                raise next(iter(failed.values()))
    return DeletedSnapshots(tuple(deleted), failed)


def clear_snapshots(store: SnapshotStore, *, prefix: str = "", at_once: int = LISTED) -> int:
    """Forget every snapshot whose name begins so, page by page, and return how many there were.

    Raise PersistenceFailed when a page comes back although all of it was deleted.
    """
    gone: set[str] = set()
    while page := [kept.name for kept in store.list(prefix=prefix, limit=at_once)]:
        if gone.issuperset(page):
            raise PersistenceFailed(RuntimeError(f"{page[0]!r} was deleted and is still listed"))
        for name in page:
            store.delete(name)
        gone.update(page)
    return len(gone)


def pending_snapshots(store: SnapshotStore, *, prefix: str = "", limit: int = LISTED) -> list[KeptSnapshot]:
    """Return the snapshots of runs that have not ended, the one saved last first. Raise SnapshotFormat for a damaged one."""
    looked_at = max(limit, 1)
    while True:
        kept = store.list(prefix=prefix, limit=looked_at)
        pending = [each for each in kept if _is_pending(store, each.name)]
        if len(pending) >= limit or len(kept) < looked_at:
            return pending[: max(limit, 0)]
        looked_at *= 2


def _is_pending(store: SnapshotStore, name: str) -> bool:
    document = store.load(name)
    return document is not None and assert_valid_snapshot(document).status == "running"
