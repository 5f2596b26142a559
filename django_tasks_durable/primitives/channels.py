"""Channels: names under which runs are found and followed, ``word:key``. A run has those that follow from what it is, and its own.

One rule for both: a run is in a channel when the channel is among ``channels_of()``, however it came there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from uuid import UUID

from django_tasks_durable.exceptions import InvalidChannel

LONGEST_CHANNEL = 200
MOST_CHANNELS = 50
# Where a run keeps its own channels among its options; looked for before the JSON is read.
TOLD = '"channels":'


class channel:  # a namespace of functions, written as one
    """Makes the names of channels: ``channel.scope("workspace:42")`` is ``"scope:workspace:42"``."""

    @staticmethod
    def task(run_id: UUID | str) -> str:
        """Name the channel of one run, by its id."""
        return _named("task", str(run_id))

    @staticmethod
    def kind(task_path: str) -> str:
        """Name the channel of all runs of a task, by its path."""
        return _named("kind", task_path)

    @staticmethod
    def topic(key: str) -> str:
        """Name the channel of a topic."""
        return _named("topic", key)

    @staticmethod
    def resource(key: str) -> str:
        """Name the channel of what runs work on, such as ``report:42``."""
        return _named("resource", key)

    @staticmethod
    def correlation(key: str) -> str:
        """Name the channel of runs that belong to one request or one business case."""
        return _named("correlation", key)

    @staticmethod
    def dedupe(key: str) -> str:
        """Name the channel of runs with this dedupe key."""
        return _named("dedupe", key)

    @staticmethod
    def concurrency(key: str) -> str:
        """Name the channel of runs with this concurrency key."""
        return _named("concurrency", key)

    @staticmethod
    def supersede(key: str) -> str:
        """Name the channel of runs with this supersede key."""
        return _named("supersede", key)

    @staticmethod
    def scope(key: str) -> str:
        """Name the channel of a scope, such as a tenant's."""
        return _named("scope", key)


def _named(word: str, key: object) -> str:
    if not isinstance(key, str) or not key.strip():
        raise InvalidChannel(key, f"channel.{word}() takes text that is not blank.")
    return f"{word}:{key.strip()}"


def explicit(given: object) -> tuple[str, ...]:
    """Return the channels that somebody gave, trimmed, each once, in their order. Raise InvalidChannel."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidChannel(given, "give a list of channels, such as [channel.scope('workspace:42')].")
    found = tuple(dict.fromkeys(_checked(name) for name in given))
    if len(found) > MOST_CHANNELS:
        raise InvalidChannel(found[-1], f"a run has at most {MOST_CHANNELS} channels of its own, not {len(found)}.")
    return found


def _checked(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidChannel(name, "it has to be a string.")
    trimmed = name.strip()
    word, colon, key = trimmed.partition(":")
    if not (word.strip() and colon and key.strip()):
        raise InvalidChannel(name, "it is a word, a colon and a key, as channel.scope('workspace:42') makes it.")
    if len(trimmed) > LONGEST_CHANNEL:
        raise InvalidChannel(f"{trimmed[:40]}...", f"it has at most {LONGEST_CHANNEL} characters.")
    if not trimmed.isprintable():
        raise InvalidChannel(name, "it has to be printable text.")
    return trimmed


def told_in(options: str) -> tuple[str, ...]:
    """Return a run's own channels from the options that it keeps."""
    return tuple(json.loads(options)["channels"]) if TOLD in options else ()


def channels_of(run_id: UUID, task_path: str, keys: Mapping[str, str], own: Iterable[str]) -> tuple[str, ...]:
    """Return all channels of a run: those that follow from what it is, then its own, each once."""
    return tuple(dict.fromkeys([*_derived(run_id, task_path, keys), *own]))


def _derived(run_id: UUID, task_path: str, keys: Mapping[str, str]) -> Iterator[str]:
    yield channel.task(run_id)
    yield channel.kind(task_path)
    for word in ("dedupe", "concurrency", "supersede"):
        if key := keys.get(word):
            yield f"{word}:{key}"
