"""State machines as classes, in a database: what the seeds' workflows did, and what they could not."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from django_tasks_durable import testing
from django_tasks_durable.compat import TASKS_LOGGER
from django_tasks_durable.exceptions import InvalidTransition, RunNotFound, UnknownTransition
from django_tasks_durable.models import Checkpoint, Step, TaskRun, Wait
from django_tasks_durable.primitives.status import RunStatus, StepKind
from tests.probe import journal
from tests.probe.workflows import ACounting, Counting

from .workflows import ASpinning, Breaking, GuessGame, IntervalPayment, Onboarding, Spinning

pytestmark = pytest.mark.django_db


def value_of(result: Any) -> Any:
    """The final state, as the database tells it."""
    result.refresh()
    return result.return_value


def paths(result: Any) -> list[str]:
    """The paths of a run's checkpoints, in the order in which they were left."""
    return list(Checkpoint.objects.filter(run_id=result.run_id).order_by("id").values_list("path", flat=True))


def lines(result: Any, kind: StepKind) -> list[tuple[str, str]]:
    """Message and data of a run's lines of one kind."""
    found = Step.objects.filter(run_id=result.run_id, kind=kind).order_by("sequence")
    return list(found.values_list("message", "data"))


@pytest.mark.seed("TW-1", "TW-P1", "TW-2", "TW-18")
def test_a_simple_run_ends_with_its_state_and_tells_its_transitions_in_order() -> None:
    with testing.frozen():
        result: Any = Onboarding.enqueue({"name": "ada"})
        testing.drain()
        result.resume("yes")
        testing.drain()
        testing.advance(24 * 3600)
        testing.drain()
    assert value_of(result) == Onboarding.State(name="ada", letter="Dear ada", confirmed="yes", welcomed=True)
    assert lines(result, StepKind.TRANSITION) == [
        ("begin", '{"from": null, "to": "begin", "visit": 1}'),
        ("begin → wait-confirm", '{"from": "begin", "to": "wait-confirm", "visit": 2}'),
        ("wait-confirm → welcome", '{"from": "wait-confirm", "to": "welcome", "visit": 3}'),
    ]
    assert lines(result, StepKind.AUDIT) == [("welcomed", '{"person":"ada"}')]


@pytest.mark.seed("TW-P9")
def test_ten_people_are_onboarded_at_once_without_mixing(deeds: Path) -> None:
    names = [f"person {number}" for number in range(10)]
    with testing.frozen():
        found: dict[str, Any] = {name: Onboarding.enqueue({"name": name}) for name in names}
        testing.drain()
        for name in random.Random(7).sample(names, len(names)):
            found[name].resume(f"yes from {name}")
            testing.drain()
        testing.advance(24 * 3600)
        testing.drain()
    for name, result in found.items():
        state = value_of(result)
        assert (state.letter, state.confirmed, state.welcomed) == (f"Dear {name}", f"yes from {name}", True)
        assert journal.times(deeds, "letter", person=name) == 1


@pytest.mark.seed("TW-4", "TW-P5", "TW-P6")
def test_a_step_that_is_visited_again_uses_its_keys_again_under_a_prefix_of_its_own(deeds: Path) -> None:
    result: Any = GuessGame.enqueue()
    for guess in (1, 9, 0, 7, 4):
        testing.drain()
        result.resume(guess)
    testing.drain()
    assert value_of(result) == GuessGame.State(guesses=[1, 9, 0, 7, 4], won=True)
    noted = [path for path in paths(result) if path.endswith("step:note")]
    assert noted == [f"{visit}:ask/step:note" for visit in (1, 3, 5, 7, 9)]
    # A visit that waited begins once more at its top; no earlier one is gone through again.
    assert journal.times(deeds, "iteration") == 10
    assert journal.times(deeds, "compare") == 5


@pytest.mark.seed("TW-5")
def test_a_step_that_moves_to_itself_is_visited_anew(deeds: Path) -> None:
    result = Spinning.enqueue({"left": 3})
    testing.drain()
    assert value_of(result) == Spinning.State(left=0, seen=[1, 2, 3])
    assert [journal.times(deeds, "spin", visit=visit) for visit in (1, 2, 3)] == [1, 1, 1]


@pytest.mark.seed("TW-P8", "TW-24", "TW-30")
def test_usage_that_is_added_during_the_wait_is_billed_once_and_a_cancellation_changes_the_path(deeds: Path) -> None:
    with testing.frozen():
        result: Any = IntervalPayment.enqueue({"usage": [1]})
        testing.drain()
        payment = IntervalPayment.of(result.id, by="ada")
        assert payment.add_usage(3) == 4
        assert (payment.step, payment.visit, payment.state.usage) == ("wait_cycle", 2, [1, 3])
        testing.advance(3600)
        testing.drain()
        payment.add_usage(10)
        testing.advance(3600)
        testing.drain()
        payment.cancel()
        assert testing.drain() == []
        testing.advance(3600)
        testing.drain()
    assert value_of(result) == IntervalPayment.State(usage=[], status="cancelled", receipts=[4, 10])
    assert [journal.times(deeds, "receipt", total=total) for total in (4, 10)] == [1, 1]
    assert journal.times(deeds, "bye") == 1
    told = lines(result, StepKind.AUDIT)[0]
    assert told == ("add_usage", '{"command":"add_usage","args":[3],"kwargs":{},"by":"ada"}')


def test_a_command_that_wakes_lets_the_visit_begin_again_at_once(deeds: Path) -> None:
    with testing.frozen():
        result: Any = IntervalPayment.enqueue()
        testing.drain()
        IntervalPayment.of(result.id).cancel_now()
        testing.drain()
    assert value_of(result).status == "cancelled"
    assert journal.times(deeds, "bye") == 1


def test_a_query_works_on_a_copy_and_changes_nothing() -> None:
    result: Any = IntervalPayment.enqueue({"usage": [1, 2]})
    payment = IntervalPayment.of(result.id)
    assert payment.total() == 3
    assert payment.state.status == "active"
    assert TaskRun.objects.get().version == 1


@pytest.mark.seed("TW-24")
def test_a_command_that_raises_changes_nothing() -> None:
    result: Any = IntervalPayment.enqueue({"status": "cancelled"})
    with pytest.raises(ValueError, match="closed"):
        IntervalPayment.of(result.id).add_usage(1)
    row = TaskRun.objects.get()
    assert (row.workflow_state, row.inbox, row.last_sequence) == (None, 0, 1)


@pytest.mark.seed("TW-23")
def test_a_transaction_locks_loads_saves_and_audits() -> None:
    result: Any = IntervalPayment.enqueue()
    with IntervalPayment.transaction(result.id) as payment:
        payment.add_usage(3)
        payment.state.usage.append(4)
        payment.audit("corrected", amount=4)
    assert IntervalPayment.of(result.id).state.usage == [3, 4]
    assert [message for message, _ in lines(result, StepKind.AUDIT)] == ["add_usage", "corrected"]


@pytest.mark.seed("TW-23")
def test_a_transaction_that_raises_changes_nothing_and_one_in_a_transaction_goes_with_it() -> None:
    result: Any = IntervalPayment.enqueue()
    with pytest.raises(LookupError), IntervalPayment.transaction(result.id) as payment:
        payment.add_usage(3)
        raise LookupError
    with pytest.raises(LookupError), transaction.atomic():
        IntervalPayment.of(result.id).add_usage(3)
        raise LookupError
    assert IntervalPayment.of(result.id).state.usage == []
    assert lines(result, StepKind.AUDIT) == []


def test_a_command_before_the_workflow_begins_is_not_lost() -> None:
    with testing.frozen():
        result: Any = IntervalPayment.enqueue({"usage": [1]})
        IntervalPayment.of(result.id).add_usage(2)
        testing.drain()
    assert IntervalPayment.of(result.id).state.usage == [1, 2]


def test_a_run_that_has_ended_takes_no_command_and_one_of_another_class_is_not_found() -> None:
    result: Any = Spinning.enqueue()
    with pytest.raises(RunNotFound):
        IntervalPayment.of(result.id).add_usage(1)
    with pytest.raises(RunNotFound):
        IntervalPayment.of("no id").add_usage(1)
    testing.drain()
    with pytest.raises(InvalidTransition), Spinning.transaction(result.id):
        pass


def test_the_question_of_a_visit_that_was_left_is_not_asked_any_more() -> None:
    from .workflows import Reminded

    with testing.frozen():
        result: Any = Reminded.enqueue()
        testing.drain()
        assert Wait.objects.get().path == "1:ask/wait:q"
        Reminded.of(result.id).give_up()
        testing.drain()
    assert TaskRun.objects.get().status == RunStatus.WAITING
    assert list(Wait.objects.values_list("path", flat=True)) == ["2:other/wait:other"]


@pytest.mark.seed("TW-1")
def test_a_step_that_goes_where_it_did_not_declare_fails_the_run_naming_both() -> None:
    from .workflows import Straying

    result: Any = Straying.enqueue()
    testing.drain()
    result.refresh()
    assert TaskRun.objects.get().status == RunStatus.FAILED
    assert result.errors[0].exception_class_path.endswith(UnknownTransition.__name__)
    assert "'begin'" in result.errors[0].traceback
    assert "'nowhere'" in result.errors[0].traceback


@pytest.mark.seed("TW-19")
def test_what_a_failed_attempt_made_of_the_state_is_kept() -> None:
    from .workflows import Straying

    result: Any = Straying.enqueue()
    testing.drain()
    assert Straying.of(result.id).state.tried == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("flow", [Counting, ACounting])
def test_no_command_is_lost_while_a_worker_moves_the_workflow_on(flow: Any, manage: Any) -> None:
    result: Any = flow.enqueue({"left": 150})
    worker = manage("runtasks", "--interval", "0.1")
    for _ in range(1000):
        if flow.of(result.id).visit:
            break
        threading.Event().wait(0.02)
    knocks = 0
    for _ in range(60):
        try:
            knocks = flow.of(result.id).knock()
        except InvalidTransition:
            break
    result.wait(timeout=30)
    worker.terminate()
    worker.communicate(timeout=60)
    state = value_of(result)
    assert (state.left, state.seen, state.knocks) == (0, list(range(1, 151)), knocks)
    assert knocks


def test_a_failed_workflow_that_is_retried_begins_its_visit_again_on_its_state(deeds: Path) -> None:
    result: Any = Breaking.enqueue()
    testing.drain()
    assert TaskRun.objects.get().status == RunStatus.FAILED
    assert (Breaking.of(result.id).step, Breaking.of(result.id).state.tried) == ("second", 1)
    result.retry()
    testing.drain()
    assert value_of(result) == Breaking.State(tried=2)
    assert journal.tally(deeds) == {"first": 1, "before": 1}


@pytest.mark.parametrize("flow", [Spinning, ASpinning])
def test_a_workflow_runs_at_once_under_the_backend_of_djangos_tests(flow: Any, settings: Any) -> None:
    settings.TASKS = {
        **settings.TASKS,
        "immediate": {"BACKEND": f"{TASKS_LOGGER}.backends.immediate.ImmediateBackend", "QUEUES": []},
    }
    result = flow.using(backend="immediate").enqueue({"left": 2})
    assert result.is_finished
    assert result.status == "SUCCESSFUL", result.errors
