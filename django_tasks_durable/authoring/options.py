"""The options of a task that Django's Task has no field for."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import timedelta
from typing import Any

from django_tasks_durable.conf import seconds_from

from .backoff import Backoff
from .keys import KEY_NAMES, NO_KEYS, Keys
from .schedules import DeclaredSchedule, several


class _ReadOnly(dict[str, Any]):
    """A dict that keeps what it was made with. Unlike a mapping proxy it goes through dataclasses.asdict()."""

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("The metadata of a task cannot be changed; give others with .using(metadata=...).")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse


BackoffLike = Backoff | Callable[[BaseException, Any], float | timedelta | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """What a task says about its runs beside Django's own fields. None leaves it to the settings.

    ``max_attempts`` limits attempts that end in an exception, ``max_deliveries`` those lost in a row with their worker.
    ``timeout`` is in seconds, for each attempt. ``backoff`` is a Backoff or a function of (exception, task_result) that
    returns seconds, or None to give up. With ``compensate_on_cancel`` a run that is cancelled undoes what its steps did.
    ``retention`` is how many seconds a run is kept that ended well.
    ``schedule`` is cron(...), every(...) or a list of them.
    ``version`` is that of the code; with ``pin_version`` a run of another version waits for a worker that has it.
    """

    max_attempts: int | None = None
    max_deliveries: int | None = None
    backoff: BackoffLike | None = None
    timeout: float | None = None
    compensate_on_cancel: bool = False
    retention: float | None = None
    version: int = 1
    pin_version: bool = False
    # Out of the hash, because a mapping has none; tasks are hashable.
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    keys: Keys = NO_KEYS
    schedule: tuple[DeclaredSchedule, ...] = ()
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
        for name in ("compensate_on_cancel", "pin_version"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name}={getattr(self, name)!r}: give True or False.")
        if not isinstance(self.metadata, Mapping):
            raise TypeError(f"metadata={self.metadata!r}: give a mapping.")
        retention = seconds_from(self.retention)
        if retention is None and self.retention is not None:
            raise ValueError(f"retention={self.retention!r}: give seconds from 0, or a timedelta.")
        object.__setattr__(self, "retention", retention)
        object.__setattr__(self, "timeout", timeout)
        object.__setattr__(self, "schedule", several(self.schedule))
        object.__setattr__(self, "metadata", _ReadOnly(self.metadata))
        object.__setattr__(self, "_snapshot", self._told())

    def snapshot(self) -> str:
        """Return the JSON text that a run keeps of its options; functions are not in it."""
        return self._snapshot

    def _told(self) -> str:
        told: dict[str, Any] = {
            name: value
            for name in ("max_attempts", "max_deliveries", "timeout", "retention")
            if (value := getattr(self, name)) is not None
        }
        if self.compensate_on_cancel:
            told["compensate_on_cancel"] = True
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


def refuse_unknown(names: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise TypeError, with the nearest right name, when a name is none of the known ones."""
    known = list(known)
    for name in names:
        if name in known:
            continue
        like = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"Did you mean {like[0]!r}?" if like else f"There are {', '.join(sorted(known))}."
        raise TypeError(f"{where} has no option {name!r}. {hint}")


def _expect_count(name: str, value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"{name}={value!r}: give a whole number from 1.")


NAMES = tuple(each.name for each in fields(TaskOptions) if each.init and each.name != "keys")
DEFAULTS = TaskOptions()
