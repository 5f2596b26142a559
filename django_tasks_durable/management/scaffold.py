"""The two files of a workflow that is made from a flow: what is to be written, and the writing."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from django_tasks_durable.authoring.flow import Flow, generate, implementing
from django_tasks_durable.authoring.flow.generating import is_edited


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One file, and what becomes of it: created, refreshed, extended or unchanged."""

    path: Path
    action: str
    content: bytes
    stubs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that has to be done for a flow, in the order in which a crash in between does no harm."""

    class_name: str
    changes: tuple[Change, ...]
    edited: Path | None
    unused: tuple[str, ...]

    @property
    def is_done(self) -> bool:
        """Whether the files are what the flow says."""
        return all(change.action == "unchanged" for change in self.changes)

    def carry_out(self) -> None:
        """Write what changes."""
        for change in self.changes:
            if change.action != "unchanged":
                replace(change.path, change.content)


def plan(flow: Flow, source: Path, folder: Path) -> Plan:
    """Compare a flow with the files in a folder, which need not be there; write nothing."""
    generated = generate(flow, source.name)
    generated_path, path = folder / f"{flow.module}_flow.py", folder / f"{flow.module}.py"
    old = generated_path.read_bytes() if generated_path.exists() else b""
    edited = is_edited(old.decode(errors="replace")) if old else False
    older = frozenset() if edited is None else _declared(old)
    if path.exists():
        content = path.read_bytes()
        stubs = implementing.missing(content, flow, generated.tasks, older)
        extended = implementing.extended(content, flow, stubs)
        own = Change(
            path=path,
            action="extended" if stubs else "unchanged",
            content=extended,
            stubs=tuple(task.name for task in stubs),
        )
    else:
        text = implementing.begin(flow, generated.tasks, in_package=(folder / "__init__.py").exists())
        own = Change(
            path=path, action="created", content=text.encode(), stubs=tuple(task.name for task in generated.tasks)
        )
    new = generated.text.encode()
    # A checkout may have given the file other ends of lines.
    action = "created" if not old else "unchanged" if old.replace(b"\r\n", b"\n") == new else "refreshed"
    whole = Change(path=generated_path, action=action, content=new)
    unused = implementing.unused(own.content, flow, generated.tasks, older)
    return Plan(
        class_name=flow.class_name,
        changes=(own, whole),
        edited=None if edited is False else generated_path,
        unused=unused,
    )


def _declared(old: bytes) -> frozenset[str]:
    try:
        return implementing.declared(old)
    except (SyntaxError, ValueError):
        return frozenset()


def replace(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode if path.exists() else 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, mode & 0o7777)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
