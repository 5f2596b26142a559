"""References to files, for what is too big to lie in a task's history."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from tempfile import SpooledTemporaryFile
from typing import BinaryIO
from uuid import uuid4

from asgiref.sync import sync_to_async
from django.core.files.base import File
from django.core.files.storage import Storage, storages

from django_tasks_durable.exceptions import FileChanged

FOLDER = "tasks"
PART_BYTES = 64 * 1024
IN_MEMORY_BYTES = 1024 * 1024
Content = str | bytes | BinaryIO | Iterable[bytes]


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file in a storage of Django's ``STORAGES``: what a task passes on instead of the bytes themselves.

    Only the reference is stored with the run: the name, the storage's alias, the size in bytes and the SHA-256 of the
    content. Nobody deletes the file but you.
    """

    name: str
    storage: str = "default"
    size: int = 0
    sha256: str = ""

    @classmethod
    def save(cls, content: Content, name: str = "data", *, storage: str = "default") -> FileRef:
        """Store content as a new file and return its reference.

        ``content`` is text, bytes, an open binary file or an iterable of bytes; it is not held in memory as a whole. The
        file's own name ends with ``name``, and what stands before is never used twice. Raise what the storage raises.
        """
        place = f"{FOLDER}/{uuid4().hex}/{PurePath(name).name or 'data'}"
        digest, size = hashlib.sha256(), 0
        # Storages read as they like, some twice: what is large waits on this host's disk.
        with SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as spool:
            for part in _parts_of(content):
                digest.update(part)
                size += spool.write(part)
            spool.seek(0)
            kept = storages[storage].save(place, File(spool, name=place))
        return cls(kept, storage, size, digest.hexdigest())

    def open(self) -> File[bytes]:
        """Open the file for reading; use it in a ``with``. Raise FileNotFoundError when it is gone. Checks no content."""
        return self._place.open(self.name, "rb")

    def read(self) -> bytes:
        """Return the whole content. Raise FileChanged when it is not what was stored, FileNotFoundError when it is gone."""
        with self.open() as file:
            data = bytes(file.read())
        if self.sha256 and hashlib.sha256(data).hexdigest() != self.sha256:
            raise FileChanged(self.name, self.storage)
        return data

    def text(self) -> str:
        """Return the whole content as UTF-8 text. See read()."""
        return self.read().decode()

    def chunks(self) -> Iterator[bytes]:
        """Give the content part by part. Raise FileChanged after the last part when they were not what was stored."""
        digest = hashlib.sha256()
        with self.open() as file:
            for part in file.chunks():
                digest.update(part)
                yield part
        if self.sha256 and digest.hexdigest() != self.sha256:
            raise FileChanged(self.name, self.storage)

    def exists(self) -> bool:
        """Ask the storage whether the file is there."""
        return self._place.exists(self.name)

    def delete(self) -> None:
        """Delete the file; one that is gone already is no error."""
        self._place.delete(self.name)

    @property
    def url(self) -> str:
        """The file's address, where its storage gives one."""
        return self._place.url(self.name)

    @property
    def _place(self) -> Storage:
        return storages[self.storage]

    @classmethod
    async def asave(cls, content: Content, name: str = "data", *, storage: str = "default") -> FileRef:
        """See save()."""
        return await sync_to_async(cls.save)(content, name, storage=storage)

    async def aread(self) -> bytes:
        """See read()."""
        return await sync_to_async(self.read)()

    async def atext(self) -> str:
        """See text()."""
        return await sync_to_async(self.text)()

    async def aexists(self) -> bool:
        """See exists()."""
        return await sync_to_async(self.exists)()

    async def adelete(self) -> None:
        """See delete()."""
        await sync_to_async(self.delete)()

    def __str__(self) -> str:
        return f"{self.storage}:{self.name} ({self.size:,} bytes)"


def _parts_of(content: Content) -> Iterable[bytes]:
    if isinstance(content, str):
        return [content.encode()]
    if isinstance(content, bytes):
        return [content]
    read = getattr(content, "read", None)
    return content if read is None else iter(lambda: read(PART_BYTES), b"")
