"""Ids and tokens."""

from __future__ import annotations

import os
import re
import threading
import time
from uuid import RFC_4122, UUID

import pytest

from django_tasks_durable.primitives import clock, ids


def test_an_id_is_a_uuid_of_version_7() -> None:
    made = ids.new_id()
    assert (made.version, made.variant) == (7, RFC_4122)


def test_ids_rise_strictly_within_a_process() -> None:
    made = [ids.new_id() for _ in range(20_000)]
    assert made == sorted(set(made))


def test_an_id_tells_its_millisecond() -> None:
    assert abs((ids.new_id().int >> 80) - time.time_ns() // 1_000_000) < 2000


def test_ids_rise_although_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ids.new_id()
    monkeypatch.setattr(clock, "unix_milliseconds", lambda: 1)
    assert ids.new_id() > first


def test_an_overflow_of_the_counter_goes_into_the_next_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ids.new_id()
    monkeypatch.setattr(clock, "unix_milliseconds", lambda: 1)
    monkeypatch.setattr(ids, "_counter", (1 << 42) - 1)
    second = ids.new_id()
    assert second > first
    assert second.version == 7


def test_threads_never_make_the_same_id() -> None:
    made: list[UUID] = []
    threads = [threading.Thread(target=lambda: made.extend([ids.new_id() for _ in range(2000)])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 16_000


# Forking with threads about is what a pre-forking web server does, and what this is about.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_makes_other_ids_even_if_the_lock_was_held() -> None:
    reader, writer = os.pipe()
    with ids._lock:
        child = os.fork()
        if child == 0:
            os.write(writer, b"".join(ids.new_id().bytes for _ in range(50)))
            os._exit(0)
    os.waitpid(child, 0)
    told = os.read(reader, 800)
    theirs = {told[start : start + 16] for start in range(0, 800, 16)}
    mine = {ids.new_id().bytes for _ in range(1000)}
    assert len(theirs) == 50
    assert not theirs & mine


@pytest.mark.seed("TW-15")
def test_a_token_is_32_hexadecimal_digits_that_differ() -> None:
    tokens = {ids.new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(re.fullmatch("[0-9a-f]{32}", token) for token in tokens)


@pytest.mark.parametrize("name", [None, "", "web 1", "a" * 500, "näme/with\nodd\x00parts"])
def test_a_worker_id_is_short_and_harmless_and_new_each_time(name: str | None) -> None:
    first, second = ids.new_worker_id(name), ids.new_worker_id(name)
    assert first != second
    assert len(first) <= 128
    assert not re.search(r"[\s\x00/]", first)


def test_a_worker_id_begins_with_its_name() -> None:
    assert ids.new_worker_id("blue").startswith(f"blue-{os.getpid()}-")
