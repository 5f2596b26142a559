"""The replay core, asked directly. It is pure: a history goes in, decisions come out."""

from __future__ import annotations

from typing import Any

import pytest

from django_tasks_durable.engine.replay import Answered, MustWait, Perform, Replay, Replayed, ReplayedFailure, Scope
from django_tasks_durable.exceptions import ConcurrentScope, Drift, InvalidKey
from django_tasks_durable.primitives.status import CheckpointKind
from django_tasks_durable.primitives.writes import CheckpointRecord, History, WaitRecord


def record(path: str, position: int, kind: CheckpointKind = CheckpointKind.STEP, **more: Any) -> CheckpointRecord:
    """Make a checkpoint."""
    return CheckpointRecord(path=path, kind=kind, position=position, **more)


def question(path: str, position: int, answer: str | None = None) -> WaitRecord:
    """Make a wait."""
    return WaitRecord(path=path, kind="wait", position=position, token="t", request="null", answer=answer)


def scope(*checkpoints: CheckpointRecord, waits: tuple[WaitRecord, ...] = (), path: str = "") -> Scope:
    """Make a scope of a run with this history."""
    return Scope(Replay(History(checkpoints=checkpoints, waits=waits)), path)


def use(scope: Scope, kind: str, key: str, fingerprint: str = "") -> Any:
    """Begin a primitive, ask for the decision and end it."""
    place = scope.begin(kind, key, fingerprint)
    try:
        return scope.decide(place, CheckpointKind(kind))
    finally:
        scope.end()


def test_each_decision() -> None:
    found = scope(
        record("step:done", 0, value="1"),
        record("step:failed", 1, failed=True, value="{}"),
        record("step:tried!try:1", 2, CheckpointKind.TRY),
        record("step:tried!try:2", 2, CheckpointKind.TRY),
        waits=(question("wait:open", 3), question("wait:answered", 4, "7")),
    )
    assert use(found, "step", "done") == Replayed("1")
    assert use(found, "step", "failed") == ReplayedFailure("{}")
    tried = use(found, "step", "tried")
    assert isinstance(tried, Perform)
    assert len(tried.tries) == 2
    assert isinstance(use(found, "wait", "open"), MustWait)
    answered = use(found, "wait", "answered")
    assert isinstance(answered, Answered)
    assert answered.text == "7"
    assert use(found, "step", "new") == Perform()


def test_another_primitive_at_a_place_is_drift() -> None:
    found = scope(record("step:a", 0), record("step:b", 1))
    use(found, "step", "a")
    with pytest.raises(Drift, match=r"'step:b'.*'step:c'") as caught:
        use(found, "step", "c")
    assert (caught.value.scope, caught.value.position) == ("", 1)


def test_other_arguments_at_a_place_are_drift() -> None:
    found = scope(record("step:a", 0, fingerprint="one"))
    with pytest.raises(Drift, match="arguments one"):
        use(found, "step", "a", "other")


@pytest.mark.seed("TW-14")
def test_another_kind_under_a_path_is_drift() -> None:
    found = scope(record("step:a", 5, CheckpointKind.WAIT))
    with pytest.raises(Drift, match="wait"):
        use(found, "step", "a")


def test_an_end_before_the_end_is_drift() -> None:
    found = scope(record("step:a", 0), record("step:b", 1))
    use(found, "step", "a")
    with pytest.raises(Drift, match="the end"):
        found.finish()


def test_more_after_the_end_of_the_history_is_fine() -> None:
    found = scope(record("step:a", 0))
    use(found, "step", "a")
    assert use(found, "step", "b") == Perform()
    found.finish()


def test_the_comparison_ends_where_a_failure_was_forgotten() -> None:
    found = scope(record("step:a", 0), record("step:c", 2, value="3"))
    use(found, "step", "a")
    assert use(found, "step", "b") == Perform()
    assert use(found, "step", "d") == Perform()
    assert use(found, "step", "c") == Replayed("3")
    found.finish()


def test_the_comparison_ends_where_a_forgotten_place_was_filled_again() -> None:
    """b was written after c although it stands before it: c belongs to the way that was given up."""
    found = scope(record("step:a", 0), record("step:c", 2), record("step:b", 1))
    use(found, "step", "a")
    use(found, "step", "b")
    assert use(found, "step", "d") == Perform()


def test_the_comparison_ends_where_two_ways_left_a_record_at_one_place() -> None:
    found = scope(record("step:a", 0), record("step:c", 1), record("step:d", 1))
    use(found, "step", "a")
    assert use(found, "step", "d") == Replayed("null")


def test_branches_that_ended_in_another_order_are_still_compared() -> None:
    found = scope(
        record("branch:b", 1, CheckpointKind.CALL), record("branch:a", 0, CheckpointKind.CALL), record("step:next", 2)
    )
    for name in ("a", "b"):
        place = found.begin("branch", name)
        assert isinstance(found.decide(place, CheckpointKind.CALL), Replayed)
        found.end()
    with pytest.raises(Drift):
        use(found, "step", "other")


def test_scopes_do_not_see_each_other() -> None:
    found = scope(
        record("step:a", 0), record("call:x/step:b", 0), record("call:x", 1, CheckpointKind.CALL), path="call:x/"
    )
    assert use(found, "step", "b") == Replayed("null")
    found.finish()


def test_a_scope_is_replaying_until_it_has_come_as_far_as_before() -> None:
    found = scope(record("step:a", 0), record("call:x/step:b!try:1", 0, CheckpointKind.TRY))
    assert found.is_replaying
    use(found, "step", "a")
    assert found.is_replaying
    use(found, "call", "x")
    assert not found.is_replaying


def test_a_place_that_was_refused_is_not_taken() -> None:
    found = scope()
    with pytest.raises(InvalidKey):
        found.begin("step", "a/b")
    found.begin("step", "a")
    with pytest.raises(ConcurrentScope):
        found.begin("step", "b")
    found.end()
    place = found.begin("step", "b")
    assert (place.path, place.position) == ("step:b", 1)


def test_a_scope_of_ten_thousand_records_is_read_in_one_go() -> None:
    found = scope(*(record(f"step:s{n}", n, value=str(n)) for n in range(10_000)))
    assert all(use(found, "step", f"s{n}") == Replayed(str(n)) for n in range(10_000))
    found.finish()


def test_a_question_of_the_way_that_was_given_up_is_not_compared() -> None:
    """Waits and checkpoints are two lists: which of them came first at a place is not known."""
    found = scope(record("step:a", 0), record("step:d", 1), waits=(question("wait:old", 1),))
    use(found, "step", "a")
    assert use(found, "step", "d") == Replayed("null")
