"""The settings: ``TASKS[alias]["OPTIONS"]``, each with a default, each checked."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from .limits import QueueLimits, Rate, expect_count, read_queue_limits

HARD_PAYLOAD_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """Seconds that runs are kept after they ended, by how they ended; None keeps them for ever.

    ``latest`` keeps no more than the newest so many successful and so many failed runs of each task, ``steps`` no log lines
    before the newest so many lines of a timeline.
    """

    successful: float | None = None
    failed: float | None = None
    cancelled: float | None = None
    latest: int | None = None
    steps: int | None = None

    @classmethod
    def of(cls, given: Any) -> RetentionPolicy:
        """Read a policy from the settings, where seconds may be a timedelta. Raise ValueError naming what is wrong."""
        if isinstance(given, cls):
            return given
        read: dict[str, Any] = {
            name: (_kept_count if name in ("latest", "steps") else _kept_seconds)(name, value)
            for name, value in _known_parts(cls, given).items()
        }
        return cls(**read)

    @property
    def keeps_everything(self) -> bool:
        """Whether nothing is ever deleted by this policy alone."""
        return self == RetentionPolicy()


def _known_parts(kind: type[Any], given: Any) -> Mapping[str, Any]:
    """Return the parts of a policy that is a dict. Raise ValueError for anything else, and for a part that there is not."""
    if not isinstance(given, Mapping):
        raise ValueError(f"it is a {type(given).__name__}, not a dict.")
    names = [field.name for field in fields(kind)]
    for name in given:
        if name not in names:
            raise ValueError(f"it has no {name!r}. {nearest(str(name), names)}")
    return given


def seconds_from(value: Any) -> float | None:
    """Read seconds or a timedelta, 0 or more; None when it is neither."""
    found = value.total_seconds() if isinstance(value, timedelta) else value
    if not _is_number(found) or not math.isfinite(found) or found < 0:
        return None
    return float(found)


def _kept_seconds(name: str, value: Any) -> float | None:
    found = seconds_from(value)
    if found is None and value is not None:
        raise ValueError(f"its {name!r} is {value!r}: give seconds from 0, a timedelta, or None to keep for ever.")
    return found


def _kept_count(name: str, value: Any) -> int | None:
    if value is not None and not _is_count(value):
        raise ValueError(f"its {name!r} is {value!r}: give a whole number from 1, or None for no limit.")
    found: int | None = value
    return found


def _rest_part(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name.endswith("_rate"):
        if not isinstance(value, str) or not _RATE.fullmatch(value):
            raise ValueError(f"its {name!r} is {value!r}: give a rate such as '60/min', or None for no limit.")
        return value
    if not _are_paths(value):
        raise ValueError(f"its {name!r} is {value!r}: give a list of dotted paths of classes, or None.")
    return tuple(value)


def _payload_keys(value: Any) -> tuple[str, ...]:
    # A reader of its own, because a rule would print what it refuses.
    if not isinstance(value, list | tuple) or not all(isinstance(key, str) and key for key in value):
        raise ValueError("give a list of keys, each a str, the newest first.")
    return tuple(value)


def _rate(name: str, value: Any) -> Rate | None:
    return None if value is None else Rate.of(value, name)


def _are_paths(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(_is_path(path) for path in value)


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and bool(_PATH.fullmatch(value))


_RATE = re.compile(r"[1-9]\d{0,8}/(s|sec|second|m|min|minute|h|hour|d|day)")
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestPolicy:
    """What REST asks of its callers. The classes are dotted paths; None leaves them to the library, whose own are safe.

    ``authentication`` is what DRF's own setting says unless given. The rates are DRF's, such as ``"60/min"``, for each user;
    None is no limit.
    """

    authentication: tuple[str, ...] | None = None
    permissions: tuple[str, ...] | None = None
    throttles: tuple[str, ...] | None = None
    read_rate: str | None = None
    write_rate: str | None = "120/min"

    @classmethod
    def of(cls, given: Any) -> RestPolicy:
        """Read a policy from the settings. Raise ValueError naming what is wrong."""
        if isinstance(given, cls):
            return given
        read = {name: _rest_part(name, value) for name, value in _known_parts(cls, given).items()}
        return cls(**read)


LINK_RATE = Rate(60, 60.0)
WRONG_LINK_RATE = Rate(20, 60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of one alias of TASKS. Durations are seconds."""

    database: str = "default"
    base_url: str = ""
    max_attempts: int = 1
    max_deliveries: int | None = None
    backoff: Callable[..., float | None] | None = None
    lease_seconds: float = 30.0
    heartbeat_seconds: float = 10.0
    poll_seconds: float = 1.0
    stalled_seconds: float | None = None
    sweep_seconds: float = 10.0
    shutdown_seconds: float = 30.0
    listen: bool = True
    listen_database: str | None = None
    direct: bool | None = None
    channel_layer: str | None = "default"
    sockets_per_user: int = 50
    reauthorise_seconds: float = 60.0
    concurrency: int = 4
    async_concurrency: int = 200
    executor: str = "thread"
    process_concurrency: int | None = None
    child_environment: tuple[str, ...] = ()
    child_memory_mb: int | None = None
    child_cpu_seconds: int | None = None
    child_grace_seconds: float = 5.0
    child_max_tasks: int | None = 200
    child_max_memory_mb: int | None = None
    prefetch: int | None = None
    global_concurrency: int | None = None
    queue_limits: Mapping[str, QueueLimits] = field(default_factory=dict)
    max_payload_bytes: int = 262_144
    max_run_steps: int | None = 100_000
    max_run_lines: int | None = 1_000_000
    max_run_bytes: int | None = 268_435_456
    payload_codec: str = ""
    payload_keys: tuple[str, ...] = field(default=(), repr=False)
    middleware: tuple[str, ...] = ()
    retention: RetentionPolicy = RetentionPolicy()
    redact_keys: tuple[str, ...] = (
        "pass",
        "secret",
        "token",
        "key",
        "auth",
        "cookie",
        "credential",
        "ssn",
        "card",
    )
    visible_to: str = ""
    redact: str = ""
    expose: tuple[str, ...] = ()
    enqueue_as: str = ""
    rest: RestPolicy = RestPolicy()
    link_rate: Rate | None = LINK_RATE
    wrong_link_rate: Rate | None = WRONG_LINK_RATE


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one option. ``option`` is empty when it is not about one."""

    option: str
    message: str
    hint: str = ""


class InvalidOptions(ImproperlyConfigured):
    """The OPTIONS of an alias cannot be used. ``problems`` says why, one by one."""

    def __init__(self, alias: str, problems: list[Problem]) -> None:
        self.alias, self.problems = alias, problems
        said = " ".join(f"{problem.message} {problem.hint}".strip() for problem in problems)
        super().__init__(f"TASKS[{alias!r}]['OPTIONS']: {said}")


def get_options(alias: str) -> Options:
    """Return the options of an alias. Raise InvalidOptions naming what is wrong.

    An alias that is not configured (any more) has the defaults: what was enqueued under it must stay readable.
    """
    known = _options.get(alias)
    if known is None:
        known = _options[alias] = _read(alias)
    return known


def durable_aliases() -> list[str]:
    """Return the aliases of TASKS that are ours, in the order of the setting."""
    global _aliases
    if _aliases is None:
        _aliases = [alias for alias, entry in _entries().items() if _is_ours(entry)]
    return list(_aliases)


def queues_of(database: str) -> frozenset[str] | None:
    """Return the queues that the aliases of one database take runs of; None when one of them takes any."""
    known: set[str] = set()
    for alias in durable_aliases():
        if get_options(alias).database == database:
            named = _entries()[alias].get("QUEUES", ["default"])
            if not named:
                return None
            known.update(map(str, named))
    return frozenset(known)


def queue_limits_of(database: str) -> dict[str, QueueLimits]:
    """Return what the settings say of the queues in one database."""
    found: dict[str, QueueLimits] = {}
    for alias in durable_aliases():
        if get_options(alias).database == database:
            found |= get_options(alias).queue_limits
    return found


def problems_in(options: Any) -> list[Problem]:
    """Return what is wrong with the OPTIONS of one alias, looking at nothing else."""
    if not isinstance(options, Mapping):
        return [Problem("", f"It is a {type(options).__name__}, not a dict.", "Use a dict of options.")]
    names = option_names()
    found = [_unknown(str(key), names) for key in options if key not in names]
    found += [problem for name in names if name in options and (problem := _wrong_value(name, options[name]))]
    return found or _wrong_together(Options(**_coerced(options)))


def option_names() -> list[str]:
    """Return the names of all options."""
    return [field.name for field in fields(Options)]


def nearest(name: str, known: list[str]) -> str:
    """Return a hint with the known name that is most like this one, or all of them."""
    like = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {like[0]!r}?" if like else f"There are {', '.join(sorted(known))}."


_options: dict[str, Options] = {}
_aliases: list[str] | None = None


def _entries() -> Mapping[str, Any]:
    entries = getattr(settings, "TASKS", None)
    return entries if isinstance(entries, Mapping) else {}


def _is_ours(entry: Any) -> bool:
    try:
        # Asked of the class, because the ground must not know the backend that stands on it.
        return bool(getattr(import_string(entry["BACKEND"]), "is_durable", False))
    except (ImportError, KeyError, TypeError):
        return False  # Django reports a backend that cannot be imported when it is used.


def _read(alias: str) -> Options:
    if alias not in durable_aliases():
        return Options()
    options = _entries()[alias].get("OPTIONS") or {}
    if problems := problems_in(options):
        raise InvalidOptions(alias, problems)
    return Options(**_coerced(options))


def _coerced(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _COERCIONS[key](value) if key in _COERCIONS else value for key, value in options.items()}


_COERCIONS: dict[str, Callable[[Any], Any]] = {
    "redact_keys": tuple,
    "child_environment": tuple,
    "middleware": tuple,
    "payload_keys": tuple,
    "retention": RetentionPolicy.of,
    "queue_limits": read_queue_limits,
    "expose": tuple,
    "rest": RestPolicy.of,
    "link_rate": lambda value: _rate("link_rate", value),
    "wrong_link_rate": lambda value: _rate("wrong_link_rate", value),
}
# What is told better by whoever reads the value than by a rule.
_READERS: dict[str, Callable[[Any], Any]] = {
    "retention": RetentionPolicy.of,
    "rest": RestPolicy.of,
    "queue_limits": read_queue_limits,
    "payload_keys": _payload_keys,
    "link_rate": lambda value: _rate("link_rate", value),
    "wrong_link_rate": lambda value: _rate("wrong_link_rate", value),
    "global_concurrency": lambda value: expect_count("global_concurrency", value),
}


def _unknown(name: str, names: list[str]) -> Problem:
    return Problem(name, f"{name!r} is not an option.", nearest(name, names))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "database": (lambda v: isinstance(v, str) and v != "", "the alias of a database"),
    "base_url": (
        lambda v: (
            v == "" or (isinstance(v, str) and urlsplit(v).scheme in {"http", "https"} and urlsplit(v).netloc != "")
        ),
        "an address such as 'https://example.com', or ''",
    ),
    "max_attempts": (lambda v: _is_count(v) and v <= 1_000_000, "a whole number from 1"),
    "max_deliveries": (lambda v: v is None or (_is_count(v) and v <= 1_000_000), "a whole number from 1, or None"),
    "backoff": (lambda v: v is None or callable(v), "a Backoff, a callable or None"),
    "lease_seconds": (lambda v: _is_number(v) and 1 <= v <= 86_400, "a number of seconds from 1 to 86400"),
    "heartbeat_seconds": (lambda v: _is_number(v) and 0.1 <= v <= 3_600, "a number of seconds from 0.1 to 3600"),
    "poll_seconds": (lambda v: _is_number(v) and 0.01 <= v <= 3_600, "a number of seconds from 0.01 to 3600"),
    "stalled_seconds": (
        lambda v: v is None or (_is_number(v) and 0 < v <= 31_536_000),
        "a number of seconds above 0, or None",
    ),
    "sweep_seconds": (lambda v: _is_number(v) and 0.1 <= v <= 86_400, "a number of seconds from 0.1 to 86400"),
    "shutdown_seconds": (lambda v: _is_number(v) and 0 <= v <= 86_400, "a number of seconds from 0 to 86400"),
    "listen": (lambda v: isinstance(v, bool), "True or False"),
    "listen_database": (lambda v: v is None or (isinstance(v, str) and v != ""), "the alias of a database, or None"),
    "direct": (lambda v: v is None or isinstance(v, bool), "True, False, or None to find out"),
    "channel_layer": (lambda v: v is None or (isinstance(v, str) and v != ""), "an alias of CHANNEL_LAYERS, or None"),
    "sockets_per_user": (lambda v: _is_count(v) and v <= 100_000, "a whole number from 1 to 100000"),
    "reauthorise_seconds": (lambda v: _is_number(v) and 0.1 <= v <= 86_400, "a number of seconds from 0.1 to 86400"),
    "concurrency": (lambda v: _is_count(v) and v <= 1_000, "a whole number from 1 to 1000"),
    "async_concurrency": (lambda v: _is_count(v) and v <= 100_000, "a whole number from 1 to 100000"),
    "executor": (
        lambda v: isinstance(v, str) and (v in ("thread", "process") or "." in v),
        "'thread', 'process' or the dotted path of an Executor",
    ),
    "process_concurrency": (
        lambda v: v is None or (_is_count(v) and v <= 1_000),
        "a whole number from 1 to 1000, or None for one to a processor",
    ),
    "child_environment": (
        lambda v: isinstance(v, list | tuple) and all(isinstance(name, str) and name for name in v),
        "a list of names of environment variables, where * stands for any letters",
    ),
    "child_memory_mb": (lambda v: v is None or (_is_count(v) and v >= 256), "megabytes from 256, or None"),
    "child_cpu_seconds": (lambda v: v is None or _is_count(v), "whole seconds from 1, or None"),
    "child_grace_seconds": (lambda v: _is_number(v) and 0 <= v <= 3_600, "a number of seconds from 0 to 3600"),
    "child_max_tasks": (lambda v: v is None or _is_count(v), "a whole number from 1, or None"),
    "child_max_memory_mb": (lambda v: v is None or _is_count(v), "megabytes from 1, or None"),
    "prefetch": (
        lambda v: v is None or (isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 10_000),
        "a whole number from 0 to 10000, or None",
    ),
    "max_payload_bytes": (
        lambda v: _is_count(v) and v <= HARD_PAYLOAD_BYTES,
        f"a whole number from 1 to {HARD_PAYLOAD_BYTES}",
    ),
    "max_run_steps": (lambda v: v is None or _is_count(v), "a whole number from 1, or None"),
    "max_run_lines": (lambda v: v is None or _is_count(v), "a whole number from 1, or None"),
    "max_run_bytes": (lambda v: v is None or _is_count(v), "a whole number from 1, or None"),
    "payload_codec": (
        lambda v: v == "" or _is_path(v),
        "the dotted path of a codec, such as 'django_tasks_durable.encryption.FernetCodec', or ''",
    ),
    "middleware": (
        lambda v: isinstance(v, list | tuple) and all(isinstance(path, str) and "." in path for path in v),
        "a list of dotted paths",
    ),
    "visible_to": (lambda v: v == "" or _is_path(v), "the dotted path of a function of (user, queryset), or ''"),
    "redact": (lambda v: v == "" or _is_path(v), "the dotted path of a function of (user, value), or ''"),
    "expose": (
        lambda v: isinstance(v, list | tuple) and all(isinstance(path, str) and path for path in v),
        "a list of the paths of tasks, such as 'shop.tasks.refund' or 'shop.tasks.*'",
    ),
    "enqueue_as": (lambda v: v == "" or _is_path(v), "the dotted path of a function of (user, task), or ''"),
    "redact_keys": (
        lambda v: isinstance(v, list | tuple | set | frozenset) and all(isinstance(k, str) and k for k in v),
        "a list of words",
    ),
}


def _wrong_value(name: str, value: Any) -> Problem | None:
    if name in _READERS:
        try:
            _READERS[name](value)
        except ValueError as error:
            return Problem(name, f"{name!r} cannot be used: {error}", "See the reference of the settings.")
        return None
    is_right, wanted = _RULES[name]
    if is_right(value):
        return None
    return Problem(name, f"{name!r} is {value!r}.", f"Give {wanted}.")


def _wrong_together(options: Options) -> list[Problem]:
    if options.lease_seconds >= 2 * options.heartbeat_seconds:
        return []
    return [
        Problem(
            "heartbeat_seconds",
            f"A worker that misses one heartbeat of {options.heartbeat_seconds:g} s "
            f"loses its lease of {options.lease_seconds:g} s.",
            "Let the lease be at least twice the heartbeat.",
        )
    ]


def _forget(*, setting: str, **kwargs: Any) -> None:
    global _aliases
    if setting == "TASKS":
        _options.clear()
        _aliases = None


setting_changed.connect(_forget, dispatch_uid="django_tasks_durable.conf")
