"""What a compensation undoes: which checkpoints no longer say what is so. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from .status import CheckpointKind

#: Where a run notes that it is being undone, and why; no key is empty, so no compensation stands there.
MARK = "undo:"
_STEP, _UNDO, _TRY = "step:", "undo:", "!try:"


def undo_path(path: str) -> str:
    """Return the path of the compensation of a step."""
    scope, slash, last = path.rpartition("/")
    return f"{scope}{slash}{_UNDO}{last.removeprefix(_STEP)}"


def is_about_undoing(path: str) -> bool:
    """Tell whether a path is that of a compensation, of a try of one, or the mark."""
    return path.rpartition("/")[2].startswith(_UNDO)


def undone(records: Iterable[tuple[str, str, bool]]) -> set[str]:
    """Name what a run that begins anew must not find, of all its (path, kind, failed).

    That is the steps that were undone, their tries, the calls that they were made in, and the undoing itself. What could
    not be undone is still so.
    """
    found = list(records)
    forgotten = {path for path, _, _ in found if is_about_undoing(path)}
    for path, kind, failed in found:
        if kind != CheckpointKind.UNDO or failed or path == MARK:
            continue
        scope, slash, last = path.rpartition("/")
        step = f"{scope}{slash}{_STEP}{last.removeprefix(_UNDO)}"
        forgotten |= {each for each, _, _ in found if each == step or each.startswith(f"{step}{_TRY}")}
        while scope:
            forgotten.add(scope)
            scope = scope.rpartition("/")[0]
    return forgotten & {path for path, _, _ in found}
