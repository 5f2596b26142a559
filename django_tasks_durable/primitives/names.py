"""Names that people give to what passes between runs and the outside: messages and events."""

from __future__ import annotations

from django_tasks_durable.exceptions import InvalidKey

NAME_LENGTH = 200


def check_name(name: object) -> str:
    """Return the name of a message or an event. Raise InvalidKey for one that no run could wait for."""
    if not isinstance(name, str):
        raise InvalidKey(name, f"it is of type {type(name).__name__}, not a str.")
    if not name:
        raise InvalidKey(name, "it is empty.")
    if len(name) > NAME_LENGTH:
        raise InvalidKey(f"{name[:60]}…", f"it has {len(name)} characters, {NAME_LENGTH} is the most.")
    if "/" in name or not name.isprintable():
        raise InvalidKey(name, "it contains '/', or a character that cannot be printed.")
    return name
