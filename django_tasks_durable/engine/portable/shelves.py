"""Places to keep snapshots in by name, and what any such place must do."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from django_tasks_durable.primitives import clock

from .shapes import dumps
from .validation import assert_valid_snapshot

LISTED = 100


@dataclass(frozen=True, slots=True)
class KeptSnapshot:
    """A snapshot that is kept: its name, and when it was saved last."""

    name: str
    updated_at: datetime


class SnapshotStore(Protocol):
    """A place that keeps the latest snapshot of each name."""

    def save(self, name: str, snapshot: Mapping[str, Any]) -> None:
        """Keep a snapshot in place of the one that had this name. Raise SnapshotFormat for what is none."""

    def load(self, name: str) -> dict[str, Any] | None:
        """Return the snapshot of this name; None when there is none. Raise SnapshotFormat for a damaged one."""

    def delete(self, name: str) -> None:
        """Forget the snapshot of this name, if there is one."""

    def list(self, *, prefix: str = "", limit: int = LISTED) -> list[KeptSnapshot]:
        """Return the snapshots whose names begin so, letter by letter, the one saved last first."""

    def close(self) -> None:
        """Give back what this place holds open; what is kept stays."""


class MemorySnapshots:
    """Keeps snapshots in this process, at most so many and for so long: the one saved first makes room."""

    def __init__(self, *, most: int | None = None, keep_for: timedelta | None = None, prefix: str = "") -> None:
        if most is not None and most < 1:
            raise ValueError(f"most={most}: give a whole number from 1.")
        self._most = most
        self._keep_for = keep_for
        self._prefix = prefix
        self._texts: dict[str, tuple[str, float, datetime]] = {}
        self._lock = threading.Lock()
        self._begun = clock.host_now(), clock.monotonic()

    def save(self, name: str, snapshot: Mapping[str, Any]) -> None:
        """See SnapshotStore.save()."""
        text = _text(snapshot)
        at, started = self._begun
        now = clock.monotonic()
        with self._lock:
            self._texts.pop(self._prefix + name, None)
            self._forget_old(now)
            while self._most is not None and len(self._texts) >= self._most:
                del self._texts[next(iter(self._texts))]
            self._texts[self._prefix + name] = text, now, at + timedelta(seconds=now - started)

    def load(self, name: str) -> dict[str, Any] | None:
        """See SnapshotStore.load()."""
        with self._lock:
            self._forget_old(clock.monotonic())
            found = self._texts.get(self._prefix + name)
        return None if found is None else _read(found[0])

    def delete(self, name: str) -> None:
        """See SnapshotStore.delete()."""
        with self._lock:
            self._texts.pop(self._prefix + name, None)

    def list(self, *, prefix: str = "", limit: int = LISTED) -> list[KeptSnapshot]:
        """See SnapshotStore.list()."""
        with self._lock:
            self._forget_old(clock.monotonic())
            kept = [(name, updated_at) for name, (_, _, updated_at) in self._texts.items()]
        return _listed(reversed(kept), self._prefix, prefix, limit)

    def close(self) -> None:
        """See SnapshotStore.close()."""

    def _forget_old(self, now: float) -> None:
        if self._keep_for is None:
            return
        seconds = self._keep_for.total_seconds()
        for name in [name for name, (_, saved, _) in self._texts.items() if now - saved >= seconds]:
            del self._texts[name]


def _text(snapshot: Mapping[str, Any]) -> str:
    return dumps(assert_valid_snapshot(snapshot).document)


def _read(text: str | bytes) -> dict[str, Any]:
    assert_valid_snapshot(text)
    read: dict[str, Any] = json.loads(text)
    return read


def _listed(kept: Any, own: str, prefix: str, limit: int) -> list[KeptSnapshot]:
    begins = own + prefix
    return [KeptSnapshot(name[len(own) :], at) for name, at in kept if name.startswith(begins)][: max(limit, 0)]
