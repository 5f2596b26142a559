"""Python values as the JSON of a snapshot: whole, or as much of them as there is a form for."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from django_tasks_durable.exceptions import NotSerializable, PayloadTooLarge
from django_tasks_durable.primitives import codec

NON_JSON = "non-json"
CIRCULAR = "circular"
ENCODE_FAILED = "encode-failed"


class Teller:
    """Tells values. Strict, it refuses what cannot be stored, by its place; lossy, it leaves a warning and goes on.

    ``limit`` is the most bytes that a value may take.
    """

    def __init__(self, *, is_lossy: bool, limit: int | None = None) -> None:
        self.is_lossy = is_lossy
        self.limit = limit
        self.warnings: list[dict[str, str]] = []
        self._step = ""
        self._open: set[int] = set()

    def tell(self, value: Any, *, step: str, path: str = "value") -> Any:
        """Return a value as JSON with typed tags. Raise NotSerializable or PayloadTooLarge, unless lossy."""
        try:
            return self._whole(value, path)
        except PayloadTooLarge:
            if not self.is_lossy:
                raise
            self._step = step
            return self._lose(path, ENCODE_FAILED) if not _is_circular(value) else self._best(value, path)
        except NotSerializable:
            if not self.is_lossy:
                raise
            self._step = step
            return self._best(value, path)

    def read(self, text: str, *, step: str, path: str = "value") -> Any:
        """Return the JSON of a stored text. Raise ValueError for a damaged one, unless lossy."""
        try:
            return json.loads(codec.opened(text))
        except (ValueError, RecursionError) as error:
            if not self.is_lossy:
                raise ValueError(f"its text is damaged ({error})") from error
            self._step = step
            return self._lose(path, ENCODE_FAILED)

    def _whole(self, value: Any, path: str) -> Any:
        return json.loads(codec.text_of(value, where=path, limit=self.limit))

    def _lose(self, path: str, reason: str) -> None:
        self.warnings.append({"type": "lossy_value", "stepId": self._step, "path": path, "reason": reason})

    def _best(self, value: Any, path: str) -> Any:
        """Tell the parts that can be told, and None for the others."""
        if id(value) in self._open:
            return self._lose(path, CIRCULAR)
        if len(self._open) > codec.MAX_DEPTH:
            return self._lose(path, ENCODE_FAILED)
        self._open.add(id(value))
        try:
            return self._parts(value, path)
        except Exception:  # a value with hostile methods must not keep the rest of the snapshot from being told
            return self._lose(path, ENCODE_FAILED)
        finally:
            self._open.discard(id(value))

    def _part(self, value: Any, path: str) -> Any:
        if not isinstance(value, dict | list | tuple | set | frozenset):
            try:
                return self._whole(value, path)
            except (NotSerializable, PayloadTooLarge):
                pass
        return self._best(value, path)

    def _parts(self, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return self._dict(value, path)
        if isinstance(value, list | tuple):
            items = [self._part(item, f"{path}[{place}]") for place, item in enumerate(value)]
            return {"$tuple": items} if isinstance(value, tuple) else items
        if isinstance(value, set | frozenset):
            self._lose(path, NON_JSON)
            return [self._part(item, f"{path}[*]") for item in sorted(value, key=repr)]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            self._lose(path, NON_JSON)
            names = [field.name for field in dataclasses.fields(value)]
            return self._dict({name: getattr(value, name) for name in names if hasattr(value, name)}, path)
        try:
            codec.encode(value)
        except NotSerializable as refusal:
            is_its_own = refusal.__cause__ is not None and not isinstance(refusal.__cause__, UnicodeError)
            self._lose(path, ENCODE_FAILED if is_its_own else NON_JSON)
        return _printable(value) if isinstance(value, str) else None

    def _dict(self, value: dict[Any, Any], path: str) -> Any:
        parts: dict[str, Any] = {}
        for key, item in value.items():
            place = f"{path}[{json.dumps(key, default=repr)}]"
            if not isinstance(key, str) or _printable(key) != key:
                self._lose(place, NON_JSON)
                key = _printable(str(key))
            parts[key] = self._part(item, place)
        if len(parts) == 1 and next(iter(parts)).startswith("$"):
            return {"$dict": [[key, item] for key, item in parts.items()]}
        return parts


def _printable(text: str) -> str:
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _is_circular(value: Any) -> bool:
    """Tell whether a value holds itself: a list that does so is endless, which looks like one that is too large."""
    done: set[int] = set()
    around: set[int] = set()
    stack: list[tuple[Any, bool]] = [(value, True)]
    while stack:
        item, is_entered = stack.pop()
        if not is_entered:
            around.discard(id(item))
            done.add(id(item))
        elif isinstance(item, dict | list | tuple):
            if id(item) in around:
                return True
            if id(item) not in done:
                around.add(id(item))
                stack.append((item, False))
                stack += [(part, True) for part in (item.values() if isinstance(item, dict) else item)]
    return False
