"""Values of a flow as Python."""

from __future__ import annotations

from typing import Any

from .names import field_of, is_reference


def written(value: Any) -> str:
    """Return a value as Python; a text such as ``state.email`` stands for that field of the state, at any depth."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)}: {written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if is_reference(value):
        return f"self.state.{field_of(value)}"
    return scalar(value)


def scalar(value: Any) -> str:
    """Return a text, number, boolean or None as Python."""
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(text: str) -> str:
    """Return a text in double quotes, unless that would need more escapes."""
    said = repr(text)
    if said.startswith('"') or '"' in text:
        return said
    return '"' + said[1:-1].replace("\\'", "'") + '"'
