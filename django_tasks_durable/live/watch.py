"""What the clients of one hub watch."""

from __future__ import annotations

import threading
from collections.abc import Collection
from uuid import UUID

from .audience import Audience


class Watch:
    """What is watched: runs by their ids, or whatever turns up. Shared between the hub's loop and the tail's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[UUID, int] = {}
        self._broad = 0
        self._audiences: dict[str, tuple[Audience, int]] = {}

    def add(self, audience: Audience, ids: Collection[UUID]) -> None:
        """Watch for one subscription more; no ids stand for all runs."""
        with self._lock:
            self._audiences[audience.key] = audience, self._audiences.get(audience.key, (audience, 0))[1] + 1
            self._broad += not ids
            for run_id in ids:
                self._ids[run_id] = self._ids.get(run_id, 0) + 1

    def remove(self, audience: Audience, ids: Collection[UUID]) -> None:
        """Watch for one subscription less."""
        with self._lock:
            count = self._audiences[audience.key][1] - 1
            self._audiences[audience.key] = audience, count
            if not count:
                del self._audiences[audience.key]
            self._broad -= not ids
            for run_id in ids:
                self._ids[run_id] -= 1
                if not self._ids[run_id]:
                    del self._ids[run_id]

    def now(self) -> tuple[frozenset[UUID], bool, list[Audience]]:
        """Return the ids, whether everything else is watched too, and who watches."""
        with self._lock:
            return frozenset(self._ids), self._broad > 0, [audience for audience, _ in self._audiences.values()]
