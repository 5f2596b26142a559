"""The options of a task that Django's Task has no field for."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import timedelta
from typing import Any

from django_tasks_durable.conf import seconds_from
from django_tasks_durable.exceptions import InvalidLimit
from django_tasks_durable.limits import Rate, expect_count
from django_tasks_durable.primitives import channels

from . import habits
from .backoff import Backoff
from .keys import KEY_NAMES, NO_KEYS, Keys, expect_key
from .schedules import DeclaredSchedule, several


class _ReadOnly(dict[str, Any]):
    """A dict that keeps what it was made with. Unlike a mapping proxy it goes through dataclasses.asdict()."""

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("The metadata of a task cannot be changed; give others with .using(metadata=...).")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse


FULL, FAILURES = "full", "failures"
# What the kept options say of a run that tells only failures.
WITHOUT_LINES = f'"history":"{FAILURES}"'
BackoffLike = Backoff | Callable[[BaseException, Any], float | timedelta | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """What a task says about its runs beside Django's own fields. None leaves it to the settings.

    ``max_attempts`` limits attempts that end in an exception, ``max_deliveries`` those lost in a row with their worker.
    ``timeout`` is in seconds, for each attempt. ``backoff`` is a Backoff or a function of (exception, task_result) that
    returns seconds, or None to give up. With ``compensate_on_cancel`` a run that is cancelled undoes what its steps did.
    With ``history="failures"`` a run that goes well leaves no line of its own making in the timeline, see keeps_every_line().
    ``retention`` is how many seconds a run is kept that ended well. ``stalled_after`` is how many seconds a running run may
    write nothing before people see it as stale.
    ``concurrency`` limits how many runs of the task run at a time on all workers together, ``concurrency_limit`` (1) those of
    all tasks with the same ``concurrency_key``; with ``hold_key`` a run keeps its key while it waits and sleeps. ``rate`` such
    as "10/minute" limits how often runs are started: those of the key if there is one, else those of the task. Runs of each
    ``fair_key`` take turns.
    ``schedule`` is cron(...), every(...) or a list of them.
    ``expose`` lets REST enqueue it; the name of a permission instead of True asks for that, too.
    ``channels`` are names that its runs are found and followed by, beside those that follow from what a run is.
    ``executor`` names what carries its attempts: "thread", "event_loop", "process" or the dotted path of another one.
    ``version`` is that of the code; with ``pin_version`` a run of another version waits for a worker that has it.
    """

    max_attempts: int | None = None
    max_deliveries: int | None = None
    backoff: BackoffLike | None = None
    timeout: float | None = None
    compensate_on_cancel: bool = False
    history: str = FULL
    retention: float | None = None
    stalled_after: float | None = None
    expose: bool | str = False
    concurrency: int | None = None
    concurrency_key: str | None = None
    concurrency_limit: int | None = None
    hold_key: bool = False
    rate: Rate | str | None = None
    fair_key: str | None = None
    version: int = 1
    pin_version: bool = False
    # Out of the hash, because a mapping has none; tasks are hashable.
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    channels: tuple[str, ...] = ()
    keys: Keys = NO_KEYS
    schedule: tuple[DeclaredSchedule, ...] = ()
    executor: str | None = None
    _snapshot: str = field(init=False, repr=False, compare=False, default="{}")

    def __post_init__(self) -> None:
        _expect_count("max_attempts", self.max_attempts)
        _expect_count("max_deliveries", self.max_deliveries)
        _expect_count("version", self.version)
        if self.backoff is not None and not callable(self.backoff):
            raise TypeError(f"backoff={self.backoff!r}: give a Backoff or a function of (exception, task_result).")
        timeout = self.timeout.total_seconds() if isinstance(self.timeout, timedelta) else self.timeout
        if timeout is not None and (
            isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0
        ):
            raise ValueError(f"timeout={self.timeout!r}: give the seconds that an attempt may take, or a timedelta.")
        stalled_after = seconds_from(self.stalled_after)
        if self.stalled_after is not None and not stalled_after:
            raise ValueError(f"stalled_after={self.stalled_after!r}: give seconds above 0, or a timedelta.")
        object.__setattr__(self, "stalled_after", stalled_after)
        self._check_limits()
        for name in ("compensate_on_cancel", "pin_version", "hold_key"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name}={getattr(self, name)!r}: give True or False.")
        if self.history not in (FULL, FAILURES):
            raise ValueError(
                f"history={self.history!r}: give {FULL!r} for every line, or {FAILURES!r} for none of a run that goes well."
            )
        if not isinstance(self.expose, bool) and not (isinstance(self.expose, str) and self.expose.count(".") == 1):
            raise TypeError(f"expose={self.expose!r}: give True, False, or a permission such as 'shop.add_order'.")
        if self.executor is not None and (not isinstance(self.executor, str) or not self.executor):
            raise TypeError(f"executor={self.executor!r}: give a name such as 'process', or a dotted path.")
        if not isinstance(self.metadata, Mapping):
            raise TypeError(f"metadata={self.metadata!r}: give a mapping.")
        retention = seconds_from(self.retention)
        if retention is None and self.retention is not None:
            raise ValueError(f"retention={self.retention!r}: give seconds from 0, or a timedelta.")
        object.__setattr__(self, "retention", retention)
        object.__setattr__(self, "timeout", timeout)
        object.__setattr__(self, "channels", channels.explicit(self.channels))
        object.__setattr__(self, "schedule", several(self.schedule))
        object.__setattr__(self, "metadata", _ReadOnly(self.metadata))
        object.__setattr__(self, "_snapshot", self._told())

    def _check_limits(self) -> None:
        for name in ("concurrency", "concurrency_limit"):
            expect_count(name, getattr(self, name))
        for name in ("concurrency_key", "fair_key"):
            expect_key(name, getattr(self, name))
        for name in ("concurrency_limit", "hold_key"):
            if getattr(self, name) and self.concurrency_key is None:
                raise InvalidLimit(name, getattr(self, name), "It is about a key: give concurrency_key too.")
        if self.rate is not None:
            object.__setattr__(self, "rate", Rate.of(self.rate))

    def snapshot(self) -> str:
        """Return the JSON text that a run keeps of its options; functions are not in it."""
        return self._snapshot

    def _told(self) -> str:
        told: dict[str, Any] = {
            name: value
            for name in (
                "max_attempts",
                "max_deliveries",
                "timeout",
                "retention",
                "stalled_after",
                "concurrency",
                "concurrency_key",
                "concurrency_limit",
                "fair_key",
            )
            if (value := getattr(self, name)) is not None
        }
        if self.channels:
            told["channels"] = self.channels
        if self.compensate_on_cancel:
            told["compensate_on_cancel"] = True
        if self.hold_key:
            told["hold_key"] = True
        if self.history != FULL:
            told["history"] = self.history
        if self.rate is not None:
            told["rate"] = str(self.rate)
        if isinstance(self.backoff, Backoff):
            told["backoff"] = asdict(self.backoff)
        return json.dumps(told, separators=(",", ":"))

    def changed(self, changes: Mapping[str, Any]) -> TaskOptions:
        """Return a copy with other values; those of keys are named as Keys has them."""
        own = {name: value for name, value in changes.items() if name not in KEY_NAMES}
        about_keys = {name: value for name, value in changes.items() if name in KEY_NAMES}
        keys = self.keys.changed(about_keys) if about_keys else self.keys
        return TaskOptions(**{**self.as_arguments(), **own, "keys": keys})

    def as_arguments(self) -> dict[str, Any]:
        """Return the arguments that make these options again."""
        own = {name: dict(self.metadata) if name == "metadata" else getattr(self, name) for name in NAMES}
        return own if self.keys is NO_KEYS else own | {"keys": self.keys}

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.as_arguments(),)


def _restore(arguments: dict[str, Any]) -> TaskOptions:
    return TaskOptions(**arguments)


def compensates_on_cancel(snapshot: str) -> bool:
    """Tell from the options that a run keeps whether it is undone when it is cancelled."""
    return '"compensate_on_cancel":true' in snapshot


def keeps_every_line(snapshot: str) -> bool:
    """Tell from the options that a run keeps whether its timeline tells all, or nothing of a run that goes well.

    What the task itself says (log lines, partial results) and what people do to a run is kept in any case.
    """
    return WITHOUT_LINES not in snapshot


def timeout_of(snapshot: str) -> float | None:
    """Return the seconds that an attempt may take, from the options that a run keeps."""
    if '"timeout":' not in snapshot:
        return None
    seconds: float | None = json.loads(snapshot).get("timeout")
    return seconds


def refuse_unknown(names: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise TypeError, with the nearest right name, when a name is none of the known ones."""
    known = list(known)
    for name in names:
        if name in known:
            continue
        like = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        nearest = f"Did you mean {like[0]!r}?" if like else f"There are {', '.join(sorted(known))}."
        hint = habits.option(name) or nearest
        raise TypeError(f"{where} has no option {name!r}. {hint}")


def _expect_count(name: str, value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"{name}={value!r}: give a whole number from 1.")


NAMES = tuple(each.name for each in fields(TaskOptions) if each.init and each.name != "keys")
DEFAULTS = TaskOptions()
