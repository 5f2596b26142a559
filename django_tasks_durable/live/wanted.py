"""What a client asks to be told, read from a frame or an address. Whoever asks is a stranger: everything is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

from django.http import QueryDict

from django_tasks_durable.primitives.keys import KeyKind
from django_tasks_durable.snapshots.bootstrap import EVERY_TASK, TaskQuery
from django_tasks_durable.snapshots.shapes import RunSummary

IDS, WORDS, POSITIONS = 500, 100, 1000
LONGEST_WORD = 500
SEQUENCES = 2**31
STEPS, MOST_STEPS = 20, 200
LIMIT, MOST = 100, 500
QUERY_PARTS = ("ids", "task_paths", "queue_names", "channels", "keys")
IN_AN_ADDRESS = {"id": "ids", "task_path": "task_paths", "queue_name": "queue_names", "channel": "channels"}


class Refusal(Exception):
    """What was asked is refused. ``code`` is for machines; ``facts`` go beside it."""

    def __init__(self, code: str, message: str, **facts: Any) -> None:
        self.code = code
        self.message = message
        self.facts = facts
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which tasks a client wants to be told of, what of them it knows already, and how much to begin with."""

    query: TaskQuery = EVERY_TASK
    after: Mapping[UUID, int] = field(default_factory=dict)
    steps: int = STEPS
    limit: int = LIMIT
    aggregate: bool = False

    @classmethod
    def of_one(cls, run_id: UUID, after: int) -> Wanted:
        """Want one run, all that is behind a line of it."""
        return cls(query=TaskQuery(ids=(run_id,)), after={run_id: after}, steps=0)

    @cached_property
    def ids(self) -> frozenset[UUID]:
        """The runs that are asked for by id; empty for whatever fits the rest."""
        return frozenset(self.query.ids)

    @cached_property
    def key(self) -> str:
        """A text that is the same for those who want to begin with the same."""
        return repr((self.query, self.steps, self.limit, self.aggregate))

    def means(self, run: RunSummary) -> bool:
        """Tell whether a run is among those that are asked for."""
        query = self.query
        return (
            (not query.ids or run.id in self.ids)
            and (not query.task_paths or run.task_path in query.task_paths)
            and (not query.queue_names or run.queue_name in query.queue_names)
            and (not query.channels or not set(query.channels).isdisjoint(run.channels))
            and all(run.keys.get(kind.value) == text for kind, text in query.keys.items())
        )


def wanted(frame: Mapping[str, Any]) -> Wanted:
    """Read what a frame asks for. Raise Refusal."""
    query = frame.get("query") or {}
    if not isinstance(query, dict):
        raise Refusal("bad_query", "The query is not an object.")
    return Wanted(
        query=_query(query),
        after=_after(frame.get("after") or {}),
        steps=_number(frame, "steps", STEPS, 0, MOST_STEPS),
        limit=_number(frame, "limit", LIMIT, 1, MOST),
        aggregate=_flag(frame.get("aggregate", False)),
    )


def wanted_in(address: QueryDict) -> Wanted:
    """Read what an address asks for. Raise Refusal."""
    query: dict[str, Any] = {part: address.getlist(name) for name, part in IN_AN_ADDRESS.items() if name in address}
    query["keys"] = _pairs(address.getlist("key"), "bad_query")
    numbers = {name: _digits(str(address[name])) for name in ("steps", "limit") if name in address}
    after = {task_id: _digits(sequence) for task_id, sequence in _pairs(address.getlist("after"), "bad_after").items()}
    asks = {"query": query, "after": after, "aggregate": address.get("aggregate", "0") not in ("", "0", "false")}
    return wanted(asks | numbers)


def position_in(text: str) -> int:
    """Read the sequence of a line. Raise Refusal."""
    found = _digits(text)
    if not _is_whole(found) or found >= SEQUENCES:
        raise Refusal("bad_after", "A sequence is a whole number from 0.")
    return int(found)


def _pairs(texts: list[str], code: str) -> dict[str, str]:
    if not all(":" in text for text in texts):
        raise Refusal(code, "A value is not of the form name:value.")
    return {name: value for name, _, value in (text.partition(":") for text in texts)}


def _digits(text: str) -> Any:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else text


def _query(given: dict[str, Any]) -> TaskQuery:
    if unknown := set(given) - set(QUERY_PARTS):
        raise Refusal("bad_query", f"The query has no part {sorted(map(str, unknown))[0]!r}.")
    return TaskQuery(
        ids=tuple(_id(each, "bad_query") for each in _list(given, "ids", IDS)),
        task_paths=tuple(_word(each) for each in _list(given, "task_paths", WORDS)),
        queue_names=tuple(_word(each) for each in _list(given, "queue_names", WORDS)),
        channels=tuple(_word(each) for each in _list(given, "channels", WORDS)),
        keys=_keys(given.get("keys") or {}),
    )


def _list(given: dict[str, Any], part: str, most: int) -> list[Any]:
    values = given.get(part) or []
    if not isinstance(values, list):
        raise Refusal("bad_query", f"{part} is not a list.")
    if len(values) > most:
        raise Refusal("bad_query", f"{part} holds more than {most} values.")
    return values


def _id(given: Any, code: str) -> UUID:
    try:
        return UUID(given)
    except (ValueError, AttributeError, TypeError):
        raise Refusal(code, "An id is not the id of a task.") from None


def _word(given: Any) -> str:
    # A NUL is refused by PostgreSQL, wherever it stands.
    if not isinstance(given, str) or len(given) > LONGEST_WORD or not given.isprintable():
        raise Refusal("bad_query", f"A value is not a text of at most {LONGEST_WORD} characters.")
    return given


def _keys(given: Any) -> dict[KeyKind, str]:
    if not isinstance(given, dict) or not set(given) <= {kind.value for kind in KeyKind}:
        raise Refusal("bad_query", f"keys is not an object of {', '.join(kind.value for kind in KeyKind)}.")
    return {KeyKind(kind): _word(text) for kind, text in given.items()}


def _after(given: Any) -> dict[UUID, int]:
    if not isinstance(given, dict) or len(given) > POSITIONS:
        raise Refusal("bad_after", f"after is not an object of at most {POSITIONS} ids and sequences.")
    found = {}
    for task_id, sequence in given.items():
        if not _is_whole(sequence) or not 0 <= sequence < SEQUENCES:
            raise Refusal("bad_after", "A sequence is not a whole number from 0.")
        found[_id(task_id, "bad_after")] = sequence
    return found


def _number(frame: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = frame.get(name, default)
    if not _is_whole(value) or not least <= value <= most:
        raise Refusal("bad_frame", f"{name} is not a whole number from {least} to {most}.")
    return int(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Refusal("bad_frame", "aggregate is not true or false.")
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
