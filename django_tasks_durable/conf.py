"""The settings: ``TASKS[alias]["OPTIONS"]``, each with a default, each checked."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

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
        if not isinstance(given, Mapping):
            raise ValueError(f"it is a {type(given).__name__}, not a dict.")
        names = [field.name for field in fields(cls)]
        for name in given:
            if name not in names:
                raise ValueError(f"it has no {name!r}. {nearest(str(name), names)}")
        read: dict[str, Any] = {
            name: (_kept_count if name in ("latest", "steps") else _kept_seconds)(name, value)
            for name, value in given.items()
        }
        return cls(**read)

    @property
    def keeps_everything(self) -> bool:
        """Whether nothing is ever deleted by this policy alone."""
        return self == RetentionPolicy()


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
    sweep_seconds: float = 10.0
    shutdown_seconds: float = 30.0
    listen: bool = True
    listen_database: str | None = None
    direct: bool | None = None
    concurrency: int = 4
    async_concurrency: int = 200
    prefetch: int | None = None
    max_payload_bytes: int = 262_144
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
    "middleware": tuple,
    "retention": RetentionPolicy.of,
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
    "sweep_seconds": (lambda v: _is_number(v) and 0.1 <= v <= 86_400, "a number of seconds from 0.1 to 86400"),
    "shutdown_seconds": (lambda v: _is_number(v) and 0 <= v <= 86_400, "a number of seconds from 0 to 86400"),
    "listen": (lambda v: isinstance(v, bool), "True or False"),
    "listen_database": (lambda v: v is None or (isinstance(v, str) and v != ""), "the alias of a database, or None"),
    "direct": (lambda v: v is None or isinstance(v, bool), "True, False, or None to find out"),
    "concurrency": (lambda v: _is_count(v) and v <= 1_000, "a whole number from 1 to 1000"),
    "async_concurrency": (lambda v: _is_count(v) and v <= 100_000, "a whole number from 1 to 100000"),
    "prefetch": (
        lambda v: v is None or (isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 10_000),
        "a whole number from 0 to 10000, or None",
    ),
    "max_payload_bytes": (
        lambda v: _is_count(v) and v <= HARD_PAYLOAD_BYTES,
        f"a whole number from 1 to {HARD_PAYLOAD_BYTES}",
    ),
    "middleware": (
        lambda v: isinstance(v, list | tuple) and all(isinstance(path, str) and "." in path for path in v),
        "a list of dotted paths",
    ),
    "redact_keys": (
        lambda v: isinstance(v, list | tuple | set | frozenset) and all(isinstance(k, str) and k for k in v),
        "a list of words",
    ),
}


def _wrong_value(name: str, value: Any) -> Problem | None:
    if name == "retention":
        try:
            RetentionPolicy.of(value)
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
