"""The names that runs hold against each other."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum

from .codec import opened

LONGEST_NAME = 200
_DIGEST = "sha256="


class KeyKind(StrEnum):
    """What a name is held for. Names of one transaction are taken in the order of (kind, name)."""

    DEDUPE = "dedupe"
    IDEMPOTENCY = "idempotency"
    RUN = "run"
    SUPERSEDE = "supersede"


class Disposition(StrEnum):
    """What became of a call to enqueue."""

    CREATED = "created"
    REUSED = "reused"
    SUPERSEDED = "superseded"


# These let go of their name when their run ends; the others keep it for those who ask for the run again.
LET_GO = (KeyKind.DEDUPE, KeyKind.SUPERSEDE)


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """A name as it is stored."""

    kind: KeyKind
    name: str


def key_of(kind: KeyKind, task_path: str, text: str) -> Key:
    """Return the stored name of a key: dedupe and supersede keys are a task's own, the others are shared by all tasks.

    A name that is too long, or that looks like a digest, is stored as its digest.
    """
    name = f"{task_path}:{text}" if kind in LET_GO else text
    if len(name) > LONGEST_NAME or name.startswith(_DIGEST):
        name = f"{_DIGEST}{hashlib.sha256(name.encode()).hexdigest()}"
    return Key(kind, name)


def input_digest(task_path: str, args: str, kwargs: str) -> str:
    """Return what tells the input of one run from another's; the order in which names were given does not count."""
    told = json.dumps([task_path, json.loads(opened(args)), json.loads(opened(kwargs))], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()
