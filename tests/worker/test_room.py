"""How much a worker may claim."""

from __future__ import annotations

import pytest

from django_tasks_durable import testing
from django_tasks_durable.worker.room import Room


@pytest.fixture(autouse=True)
def stopped_clock() -> object:
    with testing.frozen() as moment:
        yield moment


def test_an_idle_room_asks_for_its_slots_and_nothing_more() -> None:
    assert Room(4).appetite() == 4


def test_a_room_whose_slots_are_taken_by_slow_tasks_asks_for_nothing() -> None:
    room = Room(2)
    room.took(2)
    room.began()
    room.began()
    assert room.appetite() == 0
    assert room.free_slots == 0


def test_a_free_slot_is_filled_even_while_others_are_slow() -> None:
    room = Room(2)
    room.took(2)
    room.began()
    room.began()
    room.ended()
    assert room.appetite() == 1


def test_the_prefetch_follows_the_rate_at_which_runs_end() -> None:
    room = Room(1)
    room.took(1000)
    for _ in range(1000):
        room.began()
        testing.advance(0.0001)
        room.ended()
    assert 200 < room.prefetch <= 1000


def test_the_prefetch_is_bounded_by_the_setting() -> None:
    room = Room(1, most_prefetched=0)
    room.took(1000)
    for _ in range(1000):
        room.began()
        testing.advance(0.0001)
        room.ended()
    assert room.prefetch == 0


def test_runs_given_back_make_room_again() -> None:
    room = Room(3)
    room.took(3)
    room.gave_back(2)
    assert room.appetite() == 2


def test_a_look_that_had_to_pass_by_many_others_is_put_off_for_ten_times_as_long() -> None:
    room = Room(1)
    room.found_none(0.001)
    assert not room.is_resting
    room.found_none(0.2)
    testing.advance(1.9)
    assert room.is_resting
    testing.advance(0.2)
    assert not room.is_resting
