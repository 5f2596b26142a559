"""Names of a flow, and what they are called in Python."""

from __future__ import annotations

import builtins
import keyword
import re
from typing import Any

from .problems import Malformed, kind_of

NAME = r"^[A-Za-z]([A-Za-z0-9 ._-]*[A-Za-z0-9])?$"
IDENTIFIER = r"^[A-Za-z][A-Za-z0-9_]*$"
REFERENCE = r"^state\.[A-Za-z][A-Za-z0-9_]*$"
LONGEST = 80

_NAME, _IDENTIFIER, _REFERENCE = (re.compile(f"{pattern[:-1]}\\Z") for pattern in (NAME, IDENTIFIER, REFERENCE))
_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# `step()` would take these for its own.
OF_A_STEP = ("self", "atomic", "backoff", "cache", "max_attempts", "timeout")
# The types of fields, and what their defaults are written with: a field of such a name would hide it from the next one.
TYPE_NAMES = ("str", "int", "float", "bool", "list", "dict")
OF_A_STATE = (*TYPE_NAMES, "Any", "field")


def method(name: str) -> str:
    """Return a name as that of a method or a module: ``send-welcome`` and ``sendWelcome`` are ``send_welcome``."""
    return re.sub(r"[^0-9A-Za-z]+", "_", _HUMPS.sub("_", name)).lower()


def type_name(name: str) -> str:
    """Return a name as that of a class: ``send-welcome`` is ``SendWelcome``."""
    return "".join(part[:1].upper() + part[1:] for part in method(name).split("_"))


def expect_name(value: Any) -> None:
    """Raise Malformed for what cannot be a name."""
    if not isinstance(value, str):
        raise Malformed(f"a name is a text, this is {kind_of(value)}.")
    if not _NAME.match(value) or len(value) > LONGEST:
        raise Malformed(
            f"{value!r} cannot be a name: begin with a letter, go on with letters, digits, '-', '_', '.' and blanks, "
            f"end with a letter or digit, in at most {LONGEST} characters."
        )


def expect_flow_name(value: Any) -> None:
    """Raise Malformed for what cannot name a module and its class."""
    expect_name(value)
    if keyword.iskeyword(method(value)):
        raise Malformed(f"{value!r} becomes the module {method(value)!r}, a word of Python's. Choose another name.")
    if type_name(value) == "State" or hasattr(builtins, type_name(value)):
        raise Malformed(f"{value!r} becomes the class {type_name(value)!r}, which is taken. Choose another name.")


def expect_identifier(value: Any) -> None:
    """Raise Malformed for what cannot be the name of a method, an argument or a field."""
    if not isinstance(value, str):
        raise Malformed(f"a name is a text, this is {kind_of(value)}.")
    if not _IDENTIFIER.match(value):
        like = method(value)
        better = f" Did you mean {like!r}?" if _IDENTIFIER.match(like) else ""
        raise Malformed(f"{value!r} is no name in Python: use letters, digits and '_'.{better}")
    if keyword.iskeyword(value):
        raise Malformed(f"{value!r} is a word of Python's. Choose another name, such as '{value}_'.")


def expect_field(value: Any) -> None:
    """Raise Malformed for what cannot be the name of a field."""
    expect_identifier(value)
    if value in OF_A_STATE:
        raise Malformed(f"{value!r} has a meaning in the class of the state. Choose another name, such as '{value}_'.")


def is_reference(value: Any) -> bool:
    """Say whether a value of a flow stands for a field of the state."""
    return isinstance(value, str) and bool(_REFERENCE.match(value))


def field_of(value: Any) -> str:
    """Return the field's name in a reference such as ``state.email``; raise Malformed."""
    if not is_reference(value):
        said = repr(value) if isinstance(value, str) else kind_of(value)
        raise Malformed(f"{said} is no field of the state: write 'state.' and its name, such as 'state.email'.")
    field = str(value).removeprefix("state.")
    expect_field(field)
    return field


def expect_value(value: Any) -> None:
    """Raise Malformed where a text begins like a reference but is none, at any depth."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            expect_value(each)
    elif isinstance(value, str) and value.startswith("state.") and " " not in value:
        field_of(value)
