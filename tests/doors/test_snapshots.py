"""The one reader: what it says, what it costs, and that its wire format does not change by accident."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User

from django_tasks_durable.exceptions import RunNotFound
from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import RunStatus, State, StepKind, WakeReason
from django_tasks_durable.snapshots import house, policy, read
from django_tasks_durable.snapshots.shapes import Act
from django_tasks_durable.snapshots.text import duration, one_line, plain, pretty

from .rows import (
    AT,
    a_checkpoint,
    a_failed_run,
    a_full_run,
    a_line,
    a_run,
    a_running_run,
    a_wait,
    a_waiting_run,
    a_worker,
    later,
)

USING = "default"
GOLDEN = Path(__file__).parent / "golden" / "snapshot-v1.json"
pytestmark = pytest.mark.django_db


@pytest.fixture
def at_ten_past() -> Iterator[None]:
    """Stop the clock at a known instant after the rows were made."""
    clock.freeze(AT + timedelta(minutes=10))
    yield
    clock.unfreeze()


# --- the wire


def test_the_wire_format_is_the_golden_file(at_ten_past: None) -> None:
    run = a_full_run()
    told = {
        "run": read.one(run.pk, using=USING).as_dict(),
        "timeline": [line.as_dict() for line in read.timeline(run.pk, using=USING)],
        "checkpoints": [checkpoint.as_dict() for checkpoint in read.checkpoints(run.pk, using=USING)],
        "waits": [wait.as_dict() for wait in read.waits(run.pk, pending=False, using=USING)],
    }
    text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("WRITE_GOLDEN_FILES"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), "The wire format changed: raise WIRE_VERSION, or mend the change."


def test_no_token_is_on_the_wire(at_ten_past: None) -> None:
    assert "secret-token" not in GOLDEN.read_text()


def test_a_summary_is_a_snapshot_without_its_payloads() -> None:
    run = a_full_run()
    summary, snapshot = read.summaries(read.runs(using=USING))[0], read.one(run.pk, using=USING)
    told, whole = summary.as_dict(), snapshot.as_dict()
    assert set(whole) - set(told) == {
        *("args", "kwargs", "metadata", "enqueued_by", "schedule", "tick", "result", "workflow", "worker_ids", "errors")
    }
    assert {key: whole[key] for key in told} == told


# --- states


@pytest.mark.seed("TR-3")
@pytest.mark.parametrize(
    ("columns", "state"),
    [
        ({}, State.QUEUED),
        ({"due_at": later(9999)}, State.QUEUED),
        ({"wake_reason": WakeReason.SLEEP, "due_at": later(9999)}, State.WAITING),
        ({"wake_reason": WakeReason.SLEEP}, State.QUEUED),
        ({"wake_reason": WakeReason.STEP_RETRY, "due_at": later(9999)}, State.WAITING),
        ({"wake_reason": WakeReason.RETRY, "due_at": later(9999)}, State.RETRYING),
        ({"wake_reason": WakeReason.STALE}, State.STALE),
        ({"status": RunStatus.CLAIMED}, State.CLAIMED),
        ({"status": RunStatus.RUNNING}, State.RUNNING),
        ({"status": RunStatus.WAITING}, State.WAITING),
        ({"status": RunStatus.SUCCESSFUL}, State.SUCCEEDED),
        ({"status": RunStatus.FAILED}, State.FAILED),
        ({"status": RunStatus.CANCELLED}, State.CANCELLED),
    ],
)
def test_the_state_the_filter_and_the_count_agree(at_ten_past: None, columns: dict[str, Any], state: State) -> None:
    run = a_run(**columns)
    assert read.one(run.pk, using=USING).state is state
    assert [read.in_state(read.runs(using=USING), other).count() for other in State] == [
        other is state for other in State
    ]
    assert {other: count.value for other, count in read.counts(using=USING).items() if count.value} == {state: 1}


def test_whether_a_run_is_due_is_told_by_the_databases_clock() -> None:
    run = a_run(due_at=later(60))
    try:
        clock.freeze(later(59))
        assert read.one(run.pk, using=USING).is_delayed
        clock.advance(1)
        assert not read.one(run.pk, using=USING).is_delayed
    finally:
        clock.unfreeze()


def test_the_acts_are_those_that_the_store_would_accept(at_ten_past: None) -> None:
    def acts(run: TaskRun) -> set[Act]:
        return set(read.one(run.pk, using=USING).acts)

    assert acts(a_run()) == {Act.CANCEL, Act.RESUME, Act.COPY}
    assert acts(a_run(due_at=later(9999))) == {Act.CANCEL, Act.RESUME, Act.RUN_NOW, Act.COPY}
    assert acts(a_run(due_at=later(9999), wake_reason=WakeReason.SLEEP)) == {Act.CANCEL, Act.RESUME, Act.COPY}
    assert acts(a_failed_run()) == {Act.RETRY, Act.COPY, Act.FORK}
    assert acts(a_failed_run(status=RunStatus.SUCCESSFUL)) == {Act.COPY, Act.FORK}
    assert acts(a_running_run(cancel_requested_at=AT)) == {Act.RESUME, Act.COPY}


@pytest.mark.parametrize(
    ("columns", "attempt"),
    [
        ({"started_at": None}, 0),
        ({"status": RunStatus.RUNNING}, 1),
        ({"status": RunStatus.WAITING}, 1),
        ({"status": RunStatus.SUCCESSFUL, "attempts": 2}, 3),
        ({"status": RunStatus.FAILED, "attempts": 2}, 2),
        ({"wake_reason": WakeReason.RETRY, "attempts": 2}, 2),
        ({"wake_reason": WakeReason.SLEEP, "attempts": 2}, 3),
    ],
)
def test_attempts_are_counted_as_people_do(columns: dict[str, Any], attempt: int) -> None:
    run = a_run(**{"started_at": AT, **columns})
    assert read.one(run.pk, using=USING).attempt == attempt


# --- what is found


@pytest.mark.parametrize("run_id", ["", "nonsense", "01960000-0000-7000-8000-00000000dead"])
def test_what_is_no_run_is_not_found(run_id: str) -> None:
    with pytest.raises(RunNotFound):
        read.one(run_id, using=USING)


def test_an_id_is_found_by_its_end_or_its_beginning_or_as_a_whole() -> None:
    run, other = a_run(), a_run()
    assert read.find(str(run.pk), using=USING) == [run.pk]
    assert read.find(run.pk.hex.upper(), using=USING) == [run.pk]
    assert read.find(run.pk.hex[-8:], using=USING) == [run.pk]
    assert set(read.find(run.pk.hex[:6], using=USING)) == {run.pk, other.pk}
    assert read.find("nonsense", using=USING) == read.find("", using=USING) == []


def test_the_timeline_goes_on_after_a_line_or_ends_before_one() -> None:
    run = a_run()
    for number in range(2, 8):
        a_line(run, message=str(number))

    def sequences(**which: Any) -> list[int]:
        return [line.sequence for line in read.timeline(run.pk, using=USING, **which)]

    assert sequences() == [1, 2, 3, 4, 5, 6, 7]
    assert sequences(limit=2) == [6, 7]
    assert sequences(after=0, limit=2) == [1, 2]
    assert sequences(after=2, limit=2) == [3, 4]
    assert sequences(before=6, limit=2) == [4, 5]


def test_a_message_that_the_path_tells_already_is_no_remark() -> None:
    run = a_run()
    for path, message in (("step:load", "load"), ("call:a/step:load#2", "load"), ("step:load", "loads"), ("", "load")):
        a_line(run, StepKind.STEP, path=path, message=message)
    assert [line.remark for line in read.timeline(run.pk, after=1, using=USING)] == ["", "", "loads", "load"]


def test_a_question_is_pending_until_it_is_answered_or_its_run_goes_on_or_ends() -> None:
    run = a_waiting_run("one", "two", "three")
    a_wait(run, "answered", path="wait:answered", answer="null", answered_at=AT)
    a_checkpoint(run, "wait:1")
    assert [wait.token for wait in read.waits(run.pk, using=USING)] == ["one", "three"]
    assert len(read.waits(run.pk, pending=False, using=USING)) == 4
    over = a_waiting_run("over", status=RunStatus.CANCELLED)
    assert read.waits(over.pk, using=USING) == []


def test_counting_stops_at_the_limit() -> None:
    for _number in range(5):
        a_run()
    a_failed_run()
    counts = read.counts(using=USING, limit=3)
    assert str(counts[State.QUEUED]) == "3+"
    assert str(counts[State.FAILED]) == "1"


def test_the_overview_tells_what_waits_and_who_is_there(at_ten_past: None) -> None:
    a_run()
    a_waiting_run("one", "two")
    a_worker("alive", heartbeat_at=later(595))
    a_worker("late", heartbeat_at=later(100))
    a_worker("stopped", heartbeat_at=later(595), stopped_at=later(596))
    overview = house.overview(using=USING)
    assert (overview.workers_alive, overview.waits_pending.value, overview.oldest_ready_seconds) == (1, 2, 600.0)
    a_running_run(lease_worker="alive")
    found = {worker.id: (worker.condition, worker.held) for worker in house.workers(using=USING)}
    assert found == {"alive": ("alive", 1), "late": ("late", 0), "stopped": ("stopped", 0)}


# --- what it costs


@pytest.mark.parametrize("number", [1, 50])
def test_every_reader_takes_the_same_number_of_queries(number: int, django_assert_num_queries: Any) -> None:
    for place in range(number):
        run = a_waiting_run(f"token-{place}")
        a_worker(f"worker-{place}")
    for place in range(number):
        a_line(run, StepKind.LOG, message=str(place))
        a_checkpoint(run, f"step:{place}")
        a_wait(run, f"more-{place}", path=f"more:{place}")
    everything = read.runs(using=USING)[:100]
    costs = {
        "one": (1, lambda: read.one(run.pk, using=USING).as_dict()),
        "many": (1, lambda: [found.as_dict() for found in read.many(everything)]),
        "summaries": (1, lambda: [found.as_dict() for found in read.summaries(everything)]),
        "find": (1, lambda: read.find("abcd", using=USING)),
        "timeline": (1, lambda: read.timeline(run.pk, using=USING)),
        "checkpoints": (1, lambda: read.checkpoints(run.pk, using=USING)),
        "waits": (1, lambda: read.waits(run.pk, using=USING)),
        "workers": (2, lambda: house.workers(using=USING)),
        "counts": (7, lambda: read.counts(using=USING)),
        "overview": (10, lambda: house.overview(using=USING)),
    }
    for _name, (queries, look) in costs.items():
        with django_assert_num_queries(queries):
            look()


# --- who sees what


def test_only_those_who_may_view_tasks_see_any() -> None:
    a_run()
    viewer = User.objects.create_user("viewer")
    viewer.user_permissions.add(Permission.objects.get(codename="view_taskrun"))
    sees = {
        name: policy.visible_to(user, read.runs(using=USING)).count()
        for name, user in {
            "superuser": User.objects.create_superuser("root"),
            "viewer": User.objects.get(pk=viewer.pk),
            "staff": User.objects.create_user("staff", is_staff=True),
            "inactive": User.objects.create_superuser("gone", is_active=False),
            "anonymous": AnonymousUser(),
        }.items()
    }
    assert sees == {"superuser": 1, "viewer": 1, "staff": 0, "inactive": 0, "anonymous": 0}


def test_what_lies_under_a_redacted_key_is_masked_at_any_depth() -> None:
    value = {"API_Key": "sesame", "deep": [{"password": {"a": 1}, "page": 2}], "n": 1}
    masked = policy.redact(value, ("key", "pass"))
    assert masked == {"API_Key": policy.MASK, "deep": [{"password": policy.MASK, "page": 2}], "n": 1}
    assert policy.redact(value, ()) == value


def test_a_value_that_is_nested_too_deeply_is_hidden_and_breaks_nothing() -> None:
    value: Any = "deep"
    for _level in range(500):
        value = [value]
    assert policy.HIDDEN in json.dumps(policy.redact(value, ("key",)))


def test_a_veil_hides_payloads_from_those_who_may_not_see_them() -> None:
    run = a_full_run()
    hidden = read.one(run.pk, using=USING).as_dict(show=policy.Veil(sees_payloads=False, keys=("key",)))
    assert hidden["args"] == hidden["kwargs"] == hidden["metadata"] == hidden["progress"]["meta"] == policy.HIDDEN
    shown = read.one(run.pk, using=USING).as_dict(show=policy.Veil(sees_payloads=True, keys=("key",)))
    assert shown["kwargs"] == {"amount": 12.5, "api_key": policy.MASK}


# --- text


def test_what_moves_a_cursor_or_turns_the_text_is_written_out() -> None:
    assert plain("\x1b[31mred\u202e\x9b\n\t") == "\\u001b[31mred\\u202e\\u009b\n\t"
    assert one_line("a\r\nb\tc") == "a\\u000d\\nb c"
    assert plain("\ud800") == "\\ud800"


def test_a_long_value_is_cut_and_says_so() -> None:
    assert pretty("x" * 100, longest=10) == '"xxxxxxxxx … (102 characters in all)'


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0, "0 ms"),
        (0.25, "250 ms"),
        (59.94, "59.9 s"),
        (60, "1 min"),
        (75, "1 min 15 s"),
        (3600, "1 h"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_are_written_for_people(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
