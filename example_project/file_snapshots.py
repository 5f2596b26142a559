"""A SnapshotStore of one's own: each snapshot in a file of a folder."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from django_tasks_durable import KeptSnapshot, assert_valid_snapshot

SUFFIX = ".json"


class FileSnapshots:
    """Keeps each snapshot in a file of a folder. A reader, or a crash, finds the old one or the new one, never half of one."""

    def __init__(self, folder: Path | str, *, prefix: str = "") -> None:
        self._folder = Path(folder)
        self._prefix = prefix

    def save(self, name: str, snapshot: Mapping[str, Any]) -> None:
        """See SnapshotStore.save()."""
        text = json.dumps(assert_valid_snapshot(snapshot).document)
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=self._folder, prefix=".draft-")
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self._file(name))
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            raise

    def load(self, name: str) -> dict[str, Any] | None:
        """See SnapshotStore.load()."""
        try:
            text = self._file(name).read_bytes()
        except FileNotFoundError:
            return None
        return dict(assert_valid_snapshot(text).document)

    def delete(self, name: str) -> None:
        """See SnapshotStore.delete()."""
        self._file(name).unlink(missing_ok=True)

    def list(self, *, prefix: str = "", limit: int = 100) -> list[KeptSnapshot]:
        """See SnapshotStore.list()."""
        found: list[tuple[int, str]] = []
        for file in self._folder.glob(f"*{SUFFIX}"):
            with suppress(FileNotFoundError):  # deleted since it was seen
                found.append((file.stat().st_mtime_ns, unquote(file.name.removesuffix(SUFFIX))))
        newest = sorted(found, key=lambda each: (-each[0], each[1]))
        kept = [(name, datetime.fromtimestamp(nanoseconds / 1e9, UTC)) for nanoseconds, name in newest]
        begins = self._prefix + prefix
        found_here = [(name, at) for name, at in kept if name.startswith(begins)]
        return [KeptSnapshot(name[len(self._prefix) :], at) for name, at in found_here[: max(limit, 0)]]

    def close(self) -> None:
        """See SnapshotStore.close()."""

    def _file(self, name: str) -> Path:
        if not name:
            raise ValueError("A snapshot is kept under a name that is not empty.")
        # A dot is no special letter of URLs, but the first one of a file name hides it, and two lead out of the folder.
        return self._folder / f"{quote(self._prefix + name, safe='').replace('.', '%2E')}{SUFFIX}"
