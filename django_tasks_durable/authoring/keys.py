"""The keys that a call gives to its run: what makes it the only one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django_tasks_durable.exceptions import InvalidKey

LONGEST_KEY = 1000
REUSE, REJECT, DEBOUNCE = "reuse", "reject", "debounce"
ON_DUPLICATE = (REUSE, REJECT, DEBOUNCE)
PUT_OFF_AT_MOST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What a call says about runs like its own.

    While a run with the same ``dedupe_key`` is open, ``on_duplicate`` decides: reuse it, reject the call, or debounce: give it
    the new arguments and put it off by ``debounce``, by no more than ``debounce_limit`` in all. ``supersede_key`` cancels the
    open run of the same key. ``run_id`` is the caller's own name for the run. ``idempotency_key`` finds the run again for
    ``idempotency_window`` after it was enqueued, and for as long as it is open.
    """

    dedupe_key: str | None = None
    on_duplicate: str = REUSE
    debounce: timedelta | None = None
    debounce_limit: timedelta | None = None
    supersede_key: str | None = None
    run_id: str | None = None
    idempotency_key: str | None = None
    idempotency_window: timedelta = timedelta(hours=24)

    def __post_init__(self) -> None:
        for name in ("dedupe_key", "supersede_key", "run_id", "idempotency_key"):
            expect_key(name, getattr(self, name))
        _expect_no_uuid(self.run_id)
        for name in ("debounce", "debounce_limit", "idempotency_window"):
            _expect_duration(name, getattr(self, name))
        if self.on_duplicate not in ON_DUPLICATE:
            raise ValueError(f"on_duplicate={self.on_duplicate!r}: {_nearest(self.on_duplicate)}")
        if (self.on_duplicate == DEBOUNCE) != (self.debounce is not None):
            raise ValueError("on_duplicate='debounce' and debounce=timedelta(...) go together: give both.")
        if self.debounce_limit is not None and self.debounce is None:
            raise ValueError(
                "debounce_limit says how far debounce may put a run off: give debounce=timedelta(...) too."
            )
        if self.on_duplicate != REUSE and self.dedupe_key is None:
            raise ValueError(f"on_duplicate={self.on_duplicate!r} needs a dedupe_key, which says what a duplicate is.")

    @property
    def longest_wait(self) -> timedelta:
        """How far a debounced run may be put off in all."""
        assert self.debounce is not None, "only a debounced run is put off"
        return self.debounce_limit or self.debounce * PUT_OFF_AT_MOST

    def changed(self, changes: Mapping[str, Any]) -> Keys:
        """Return a copy with other values. A window for debouncing says what is to become of duplicates."""
        if "debounce" in changes and "on_duplicate" not in changes:
            changes = {**changes, "on_duplicate": DEBOUNCE}
        return replace(self, **changes)


def expect_key(name: str, value: object) -> None:
    """Raise InvalidKey for what cannot be a key; None is none."""
    if value is None:
        return
    if not isinstance(value, str):
        raise InvalidKey(value, f"{name} has to be a string.")
    if not value.strip():
        raise InvalidKey(value, f"{name} must not be empty.")
    if value != value.strip():
        raise InvalidKey(value, f"{name} must not begin or end with a blank, which some databases do not tell apart.")
    if len(value) > LONGEST_KEY:
        raise InvalidKey(f"{value[:40]}...", f"{name} has at most {LONGEST_KEY} characters, this one {len(value)}.")
    if not value.isprintable():
        raise InvalidKey(value, f"{name} has to be printable text.")


def _expect_no_uuid(run_id: str | None) -> None:
    try:
        UUID(run_id or "none")
    except ValueError:
        return
    raise InvalidKey(
        run_id, "UUIDs are the store's own ids. Put a word before it, such as 'order-', or use idempotency_key."
    )


def _expect_duration(name: str, value: object) -> None:
    if value is not None and (not isinstance(value, timedelta) or value <= timedelta(0)):
        raise ValueError(f"{name}={value!r}: give a timedelta above zero.")


def _nearest(value: object) -> str:
    like = difflib.get_close_matches(str(value), ON_DUPLICATE, n=1, cutoff=0.5)
    return f"did you mean {like[0]!r}?" if like else f"there are {', '.join(map(repr, ON_DUPLICATE))}."


KEY_NAMES = tuple(each.name for each in fields(Keys))
NO_KEYS = Keys()
