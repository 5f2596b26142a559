"""What a state machine's actions, timers and events did, shown with steps, sleeps and waits in a database."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from django_tasks_durable import testing
from django_tasks_durable.models import Checkpoint, TaskRun, Wait
from django_tasks_durable.primitives.status import RunStatus
from tests.probe import journal
from tests.probe import tasks as probe

from . import tasks

pytestmark = pytest.mark.django_db


def value_of(result: Any) -> Any:
    """What a run returned, as the database tells it."""
    result.refresh()
    return result.return_value


@pytest.mark.seed("TW-P2")
def test_actions_in_a_loop_are_seen_by_their_keys_while_the_run_is_unfinished_and_not_done_again(deeds: Path) -> None:
    with testing.frozen():
        result = tasks.three_values.using(max_attempts=2).enqueue()
        testing.drain()
        assert TaskRun.objects.get().status == RunStatus.READY
        kept = Checkpoint.objects.filter(failed=False).order_by("position").values_list("path", "value")
        assert list(kept) == [("step:value_0", "0"), ("step:value_1", "10")]
        testing.advance(60)
        testing.drain()
    assert value_of(result) == [0, 10, 20]
    assert [journal.times(deeds, "value", number=number) for number in range(3)] == [1, 1, 2]


@pytest.mark.seed("TW-10", "TW-12", "TW-P3")
def test_a_timer_is_kept_by_the_database_and_nobody_goes_on_before_it_is_over() -> None:
    with testing.frozen():
        result = probe.naps.enqueue(60)
        testing.drain()
        testing.advance(59)
        assert testing.drain() == []
        testing.advance(1)
        testing.drain()
    assert value_of(result) == "rested"


@pytest.mark.seed("TW-13", "TW-P4")
def test_an_event_is_waited_for_with_a_request_and_its_answer_is_the_value() -> None:
    with testing.frozen():
        result: Any = tasks.onboard.enqueue("ada")
        testing.drain()
        wait = Wait.objects.get()
        assert (wait.path, wait.request, wait.answer) == ("wait:confirm", '{"name":"ada"}', None)
        result.resolve(wait.token, {"by": "ada"})
        testing.drain()
        testing.advance(24 * 3600)
        testing.drain()
    assert value_of(result) == {"letter": "Dear ada", "confirmed": {"by": "ada"}}


@pytest.mark.seed("TW-P5")
def test_a_guess_game_is_loaded_anew_for_each_answer_and_replays_the_old_ones(deeds: Path) -> None:
    result: Any = tasks.guess.enqueue(4)
    for answer in (1, 9, 0, 4):
        testing.drain()
        result.resume(answer)
    testing.drain()
    assert value_of(result) == [1, 9, 0, 4]
    # Each slice begins at the top: one iteration, then two, then three, then four, and the last slice has four again.
    assert journal.times(deeds, "iteration") == 1 + 2 + 3 + 4 + 4
    assert journal.times(deeds, "compare") == 4


@pytest.mark.seed("TW-P9")
def test_ten_people_are_onboarded_side_by_side_without_mixing(deeds: Path) -> None:
    names = [f"person {number}" for number in range(10)]
    with testing.frozen():
        results: dict[str, Any] = {name: tasks.onboard.enqueue(name) for name in names}
        testing.drain()
        for name in random.Random(7).sample(names, len(names)):
            results[name].resume(f"yes from {name}")
            testing.drain()
        testing.advance(24 * 3600)
        testing.drain()
    for name, result in results.items():
        assert value_of(result) == {"letter": f"Dear {name}", "confirmed": f"yes from {name}"}
        assert journal.times(deeds, "letter", person=name) == 1


@pytest.mark.seed("TW-21")
def test_a_finished_run_is_not_run_again(deeds: Path) -> None:
    result = probe.add.enqueue(1, 2)
    testing.drain()
    assert testing.drain() == []
    assert value_of(result) == 3
    assert journal.times(deeds, "add") == 1


@pytest.mark.seed("TW-26")
def test_drain_runs_also_what_is_enqueued_meanwhile_until_nothing_is_due(deeds: Path) -> None:
    tasks.starts_another.enqueue(3)
    assert len(testing.drain()) == 4
    assert [done["depth"] for done in journal.deeds(deeds)] == [3, 2, 1, 0]
    assert not TaskRun.objects.exclude(status=RunStatus.SUCCESSFUL).exists()


@pytest.mark.seed("TW-25")
@pytest.mark.django_db(transaction=True)
def test_a_worker_goes_on_with_what_has_slept(manage: Any) -> None:
    result = probe.naps.enqueue(0.2)
    worker = manage("runtasks", "--interval", "0.1", "--max-tasks", "2")
    said, _ = worker.communicate(timeout=60)
    assert value_of(result) == "rested", said
