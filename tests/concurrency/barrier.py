"""The template of every race: acts that begin at the same moment, each on a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from django.db import connections

from django_tasks_durable.store import vendors
from django_tasks_durable.store.vendors.session import retry_transient

Act = Callable[[vendors.Session], Any]
TRIALS = 20


def side_by_side(*acts: Act, patience: float = 60) -> list[Any]:
    """Do all acts at once and return what each returned, in order. An exception of any act is raised."""
    barrier = threading.Barrier(len(acts))
    answers: list[Any] = [None] * len(acts)
    trouble: list[BaseException] = []

    def perform(place: int, act: Act) -> None:
        session = vendors.private_session("default")
        try:
            session.execute("SELECT 1")  # the connection is open before the race begins
            barrier.wait(patience)
            answers[place] = retry_transient(session, lambda: act(session), tries=20)
        except BaseException as error:
            trouble.append(error)
            barrier.abort()
        finally:
            session.close()
            connections.close_all()

    threads = [threading.Thread(target=perform, args=(place, act)) for place, act in enumerate(acts)]
    _finish(threads, trouble, patience)
    return answers


def crowd(size: int, act: Callable[[int], Any], *, patience: float = 120) -> list[Any]:
    """Let so many threads do one act at once, each on its own connection of Django's, and return what each returned."""

    barrier = threading.Barrier(size)
    answers: list[Any] = [None] * size
    trouble: list[BaseException] = []

    def perform(number: int) -> None:
        try:
            connections["default"].ensure_connection()
            barrier.wait(patience)
            answers[number] = act(number)
        except BaseException as error:
            trouble.append(error)
            barrier.abort()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=perform, args=(number,)) for number in range(size)]
    _finish(threads, trouble, patience)
    return answers


def _finish(threads: list[threading.Thread], trouble: list[BaseException], patience: float) -> None:
    """Start the threads and wait until all have ended. Raise what one of them raised, or that one has not come to its end."""
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience)
    if trouble:
        raise next((error for error in trouble if not isinstance(error, threading.BrokenBarrierError)), trouble[0])
    # What is looked at while an act still goes on proves nothing, and would be told as a broken promise.
    if unfinished := sum(thread.is_alive() for thread in threads):
        raise TimeoutError(f"{unfinished} of {len(threads)} acts have not ended within {patience:.0f} s.")
