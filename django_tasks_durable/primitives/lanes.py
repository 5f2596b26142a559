"""Where a run stands in line: what it counts towards, and the lane that it waits in, as short texts of one length.

A lane is what limits the task, then whose turn it is, then the key: twelve, twelve and sixteen hexadecimal digits, so that all
lanes of one task, and in there all of one tenant, lie side by side in an index. Zeros mean that there is none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any

SHORT, LONG = 12, 16
NO_TASK, NO_TENANT, NO_KEY = "0" * SHORT, "0" * SHORT, "0" * LONG
# The key's place in the lane of a run that has its key already.
KEY_IS_KEPT = "f" * LONG
# Greater than every digit, whatever the collation: what follows the last lane with a prefix.
BEYOND = "z"
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_WORDS = ('"concurrency"', '"concurrency_key"', '"rate"', '"fair_key"')


class SlotKind(StrEnum):
    """What a limit is about."""

    GLOBAL = "global"
    KEY = "key"
    QUEUE = "queue"
    TASK = "task"


@dataclass(frozen=True, slots=True, order=True)
class SlotName:
    """What limits are counted by; locked in this order."""

    kind: SlotKind
    name: str = ""


EVERYTHING = SlotName(SlotKind.GLOBAL)


@dataclass(frozen=True, slots=True)
class Lane:
    """The parts of a lane."""

    task: str
    tenant: str
    key: str

    @classmethod
    def of(cls, text: str) -> Lane:
        """Take a lane apart."""
        return cls(text[:SHORT], text[SHORT : 2 * SHORT], text[2 * SHORT :])

    def __str__(self) -> str:
        return f"{self.task}{self.tenant}{self.key}"

    @property
    def turn(self) -> str:
        """What has one turn in a round: all lanes of a tenant, or this lane alone."""
        return f"{self.task}{self.tenant}" if self.tenant != NO_TENANT else str(self)

    @property
    def names(self) -> tuple[SlotName, ...]:
        """What a run has to find room in, to be started out of this lane."""
        task = (SlotName(SlotKind.TASK, self.task),) if self.task != NO_TASK else ()
        key = (SlotName(SlotKind.KEY, self.key),) if self.key not in (NO_KEY, KEY_IS_KEPT) else ()
        return (*key, *task)

    def keeping(self) -> Lane:
        """Return the lane of a run that has its key and keeps it."""
        return Lane(self.task, self.tenant, KEY_IS_KEPT)


@dataclass(frozen=True, slots=True)
class Spot:
    """What a run's row says of its limits: empty for a run without any. ``slots`` names its task and its key."""

    lane: str = ""
    slots: str = ""
    concurrency_key: str = ""

    @property
    def columns(self) -> tuple[str, str, str]:
        """The values of COLUMNS."""
        return self.lane, self.slots, self.concurrency_key


NOWHERE = Spot()
COLUMNS = "lane, slots, concurrency_key"


def said_in(options: str) -> Mapping[str, Any]:
    """Read the options that a run keeps (JSON text), as far as they are about limits; empty if none is."""
    return _said(options) if any(word in options for word in _WORDS) else _NOTHING


@lru_cache(maxsize=1024)
def _said(options: str) -> Mapping[str, Any]:
    return MappingProxyType(json.loads(options))


def spot_of(task_path: str, options: str) -> Spot:
    """Return where a run of a task stands by the options that it keeps (JSON text)."""
    return _spot(task_path, options) if said_in(options) else NOWHERE


@lru_cache(maxsize=1024)
def _spot(task_path: str, options: str) -> Spot:
    said = said_in(options)
    key = said.get("concurrency_key", "")
    is_limited = "concurrency" in said or ("rate" in said and not key)
    task = _digest(task_path, SHORT) if is_limited else NO_TASK
    tenant = _digest(said["fair_key"], SHORT) if "fair_key" in said else NO_TENANT
    lane = Lane(task, tenant, _digest(key, LONG) if key else NO_KEY)
    slots = f"{lane.task}{lane.key}" if lane.names else ""
    return Spot(str(lane), slots, key)


def slot_of_task(task_path: str) -> SlotName:
    """Return what the limit of a task is counted by."""
    return SlotName(SlotKind.TASK, _digest(task_path, SHORT))


def names_in(slots: str) -> tuple[SlotName, ...]:
    """Return what a run counts towards while a worker holds it."""
    return Lane(slots[:SHORT], NO_TENANT, slots[SHORT:]).names


def _digest(text: str, length: int) -> str:
    found = hashlib.sha256(text.encode()).hexdigest()[:length]
    # These two mean something else.
    return f"{found[:-1]}1" if set(found) in ({"0"}, {"f"}) else found
