"""The notifier: hints leave at once, then batched, and nothing that goes wrong reaches the caller."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator

import pytest
from django.test import override_settings

from django_tasks_durable.live import notify
from django_tasks_durable.live.notify import Address, Notifier

DEFAULT, OTHER = Address("default", "dtd_work"), Address("other", "dtd_work")
Sent = list[tuple[str, tuple[str, ...]]]


class Recorder:
    """Takes what is sent, and can be told to hold its breath or to fail."""

    def __init__(self) -> None:
        self.sent: Sent = []
        self.arrived = threading.Semaphore(0)
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.threads: set[str] = set()

    def __call__(self, address: Address, words: Collection[str]) -> None:
        self.threads.add(threading.current_thread().name)
        self.entered.set()
        self.gate.wait(5)
        self.sent.append((address.using, tuple(words)))
        self.arrived.release()
        if self.error is not None:
            raise self.error

    def wait(self, count: int = 1) -> None:
        """Wait until this many batches more have been sent."""
        for _ in range(count):
            assert self.arrived.acquire(timeout=5), f"only {self.sent} arrived"


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def notifier(recorder: Recorder) -> Iterator[Notifier]:
    made = Notifier(recorder)
    yield made
    recorder.gate.set()
    made.close(5)


def test_the_first_hint_is_sent_at_once_from_another_thread(notifier: Notifier, recorder: Recorder) -> None:
    notifier.hint(DEFAULT, "reports")
    recorder.wait()
    assert recorder.sent == [("default", ("reports",))]
    assert recorder.threads == {"dtd-notify"}


def test_no_thread_is_started_before_the_first_hint(recorder: Recorder) -> None:
    assert Notifier(recorder)._thread is None


def test_hints_that_come_meanwhile_are_one_batch(notifier: Notifier, recorder: Recorder) -> None:
    recorder.gate.clear()
    notifier.hint(DEFAULT, "a")
    assert recorder.entered.wait(5)
    for _ in range(1000):
        notifier.hint(DEFAULT, "b")
        notifier.hint(DEFAULT, "a")
        notifier.hint(OTHER, "c")
    recorder.gate.set()
    recorder.wait(3)
    assert recorder.sent == [("default", ("a",)), ("default", ("a", "b")), ("other", ("c",))]


def test_a_flood_is_sent_at_most_once_every_few_milliseconds(notifier: Notifier, recorder: Recorder) -> None:
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < 0.2:
        notifier.hint(DEFAULT, "a")
    assert 2 <= len(recorder.sent) <= elapsed / notify.BATCH_SECONDS + 2


def test_a_failing_database_is_left_alone_for_a_while(
    notifier: Notifier, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.error = OSError("away")
    notifier.hint(DEFAULT, "a")
    recorder.wait()
    notifier.hint(DEFAULT, "b")
    notifier.close(5)
    assert recorder.sent == [("default", ("a",))]
    assert [record.message for record in caplog.records if "polling" in record.message] == [
        "Cannot send hints to 'default' (away); those who listen find out by polling"
    ]


def test_closing_sends_what_is_there(notifier: Notifier, recorder: Recorder) -> None:
    notifier.hint(DEFAULT, "last words")
    notifier.close(5)
    assert recorder.sent == [("default", ("last words",))]


def test_closing_never_waits_longer_than_it_may(notifier: Notifier, recorder: Recorder) -> None:
    recorder.gate.clear()
    notifier.hint(DEFAULT, "a")
    started = time.monotonic()
    notifier.close()
    assert time.monotonic() - started < 1


def test_a_closed_notifier_starts_again(notifier: Notifier, recorder: Recorder) -> None:
    notifier.hint(DEFAULT, "a")
    notifier.close(5)
    notifier.hint(DEFAULT, "b")
    recorder.wait(2)
    assert [names for _, names in recorder.sent] == [("a",), ("b",)]


def test_an_idle_thread_ends_and_the_next_hint_starts_another(
    notifier: Notifier, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_idle_seconds", lambda: 0.01)
    notifier.hint(DEFAULT, "a")
    recorder.wait()
    thread = notifier._thread
    if thread is not None:
        thread.join(5)
    assert notifier._thread is None
    notifier.hint(DEFAULT, "b")
    recorder.wait()


def test_no_new_thread_at_the_end_of_the_interpreter_is_no_error(
    notifier: Notifier, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    notifier.hint(DEFAULT, "a")
    assert recorder.sent == []


def test_hints_from_many_threads_are_all_sent(notifier: Notifier, recorder: Recorder) -> None:
    threads = [
        threading.Thread(target=lambda n=n: [notifier.hint(DEFAULT, f"{n}-{i}") for i in range(50)]) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    notifier.close(5)
    assert {name for _, names in recorder.sent for name in names} == {f"{n}-{i}" for n in range(8) for i in range(50)}


# Forking with threads about is what a pre-forking web server does, and what this is about.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_starts_anew() -> None:
    reader, writer = os.pipe()
    before = notify._notifier
    child = os.fork()
    if child == 0:
        os.write(writer, b"new" if notify._notifier is not before else b"old")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 3) == b"new"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Sent]]:
    """Have tell() speak to a recorder, whatever the database is."""
    hints: Sent = []
    monkeypatch.setattr(notify._notifier, "hint", lambda address, *words: hints.append((address.using, words)))
    monkeypatch.setattr(notify.notifying, "can_notify", lambda using: using == "default")

    def tell(using: str) -> Sent:
        notify.tell(using=using, queue_name="q", signal=None)
        return hints

    notify._wanted.clear()
    yield tell
    notify._wanted.clear()


def test_work_in_a_database_that_notifies_is_told(told: Callable[[str], Sent]) -> None:
    assert told("default") == [("default", ("q",))]


def test_work_in_another_database_is_not_told(told: Callable[[str], Sent]) -> None:
    assert told("elsewhere") == []


@pytest.mark.parametrize("options", [{"listen": False}, {"listn": True}])
def test_nothing_is_told_where_nobody_may_listen(told: Callable[[str], Sent], options: dict[str, bool]) -> None:
    entry = {"BACKEND": "django_tasks_durable.DurableBackend", "OPTIONS": options}
    with override_settings(TASKS={"default": entry}):
        assert told("default") == []


def test_a_change_of_settings_is_heard(told: Callable[[str], Sent]) -> None:
    entry = {"BACKEND": "django_tasks_durable.DurableBackend", "OPTIONS": {"listen": False}}
    with override_settings(TASKS={"default": entry}):
        assert told("default") == []
    assert told("default") == [("default", ("q",))]
