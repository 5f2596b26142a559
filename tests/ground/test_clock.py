"""Both clocks, running and stopped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from django_tasks_durable.primitives import clock

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _running_again() -> Iterator[None]:
    yield
    clock.unfreeze()


def test_a_running_clock_is_not_frozen() -> None:
    assert clock.frozen_at() is None


def test_a_stopped_clock_stands_still() -> None:
    clock.freeze(NOON)
    assert (clock.frozen_at(), clock.host_now(), clock.monotonic()) == (NOON, NOON, clock.monotonic())


def test_both_clocks_advance_together() -> None:
    clock.freeze(NOON)
    before = clock.monotonic()
    assert clock.advance(31) == NOON + timedelta(seconds=31)
    assert clock.monotonic() - before == pytest.approx(31)


def test_the_monotonic_clock_never_runs_backwards() -> None:
    clock.freeze(NOON)
    clock.advance(10_000)
    before = clock.monotonic()
    clock.unfreeze()
    assert clock.monotonic() >= before


def test_freezing_again_moves_the_instant_only() -> None:
    clock.freeze(NOON)
    before = clock.monotonic()
    clock.freeze(NOON + timedelta(days=1))
    assert clock.monotonic() == before


def test_the_instant_is_told_in_utc() -> None:
    moment = clock.freeze(datetime(2030, 1, 1, 14, tzinfo=timezone(timedelta(hours=2))))
    assert (moment, moment.tzinfo) == (NOON, UTC)


def test_freezing_now_keeps_the_present() -> None:
    assert abs(clock.freeze() - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        clock.freeze(datetime(2030, 1, 1))


def test_a_running_clock_cannot_be_advanced() -> None:
    with pytest.raises(RuntimeError, match="freeze"):
        clock.advance(1)


def test_a_clock_cannot_be_turned_back() -> None:
    clock.freeze(NOON)
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)
