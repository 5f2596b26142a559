"""Tasks in child processes: what works there, how they are stopped, and what becomes of those that die."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from django_tasks_durable.models import Step, TaskRun
from django_tasks_durable.primitives.status import FINISHED, RunStatus
from django_tasks_durable.store import control
from tests.executors.conftest import House
from tests.faults.harness import oracle, run_of, wait_until
from tests.probe import effects, hard, journal, tasks
from tests.store import acts


def result_of(run_id: Any) -> Any:
    """Return what a run returned; it has to have succeeded."""
    row = run_of(run_id)
    assert row.status == RunStatus.SUCCESSFUL, row.errors
    return json.loads(row.result or "")


def error_of(run_id: Any) -> dict[str, Any]:
    """Return the last error of a run that has failed."""
    row = run_of(run_id)
    assert row.status == RunStatus.FAILED, row.status
    error: dict[str, Any] = json.loads(row.errors)[-1]
    return error


def wait_end(*run_ids: Any) -> None:
    """Wait until runs are over."""
    wait_until(lambda: TaskRun.objects.filter(pk__in=run_ids, status__in=FINISHED).count() == len(run_ids), "the end")


def output_of(run_id: Any, stream: str) -> dict[str, Any]:
    """Return what the timeline keeps of a stream."""
    for line in Step.objects.filter(run_id=run_id, kind="log").order_by("-sequence"):
        data: dict[str, Any] = json.loads(line.data or "{}")
        if data.get("stream") == stream:
            return data
    raise AssertionError(f"nothing of {stream} is kept")


# --- what a child is, and what works in one


@pytest.mark.seed("TR-35")
def test_a_task_runs_in_a_process_of_its_own_with_few_variables(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENT_SECRET", "not for tasks")
    run_id = acts.enqueue(hard.where)
    house.work_off("thread")

    found = result_of(run_id)
    assert found["pid"] != os.getpid()
    assert found["session"] == found["pid"]
    assert "DATABASE_URL" in found["environment"]  # listed in child_environment
    assert "PAYMENT_SECRET" not in found["environment"]


@pytest.mark.seed("TR-35")
def test_every_primitive_works_in_a_child(house: House) -> None:
    house.start()
    run_id = acts.enqueue(hard.everything, "ann")
    wait_until(lambda: run_of(run_id).status == RunStatus.WAITING, "it asks")
    control.resume(run_id, "yes", using="default")
    wait_end(run_id)

    oracle([run_id])
    assert result_of(run_id) == ["ANN", 1, "yes", "tail", {"a": 10, "b": 20}, 50]
    lines = Step.objects.filter(run_id=run_id).order_by("sequence")
    assert [json.loads(line.data) for line in lines if line.kind == "partial"] == ["for ann", "nested ann"]
    assert [line.message for line in lines if line.kind == "log" and line.level == "warn"] == ["noted"]
    assert run_of(run_id).progress_label == "on the way"
    assert effects.times("atomic", run_id) == 1


def test_a_coroutine_works_in_a_child(house: House) -> None:
    house.start()
    run_id = acts.enqueue(hard.aeverything, "ann")
    wait_end(run_id)
    assert result_of(run_id) == ["ANN", 1]
    assert effects.times("atomic", run_id) == 1


def test_a_child_carries_one_run_after_the_other_until_it_is_worn(house: House) -> None:
    run_ids = [acts.enqueue(hard.where) for _ in range(5)]
    house.work_off(child_max_tasks=3)
    assert len({result_of(run_id)["pid"] for run_id in run_ids}) == 2


def test_a_child_that_has_grown_is_not_used_again(house: House) -> None:
    run_ids = [acts.enqueue(hard.where) for _ in range(2)]
    house.work_off(child_max_memory_mb=1)
    assert len({result_of(run_id)["pid"] for run_id in run_ids}) == 2


# --- what it says


@pytest.mark.seed("TR-35")
def test_what_looks_like_a_result_on_a_standard_stream_is_only_kept(house: House) -> None:
    run_id = acts.enqueue(hard.forges)
    house.work_off()
    assert result_of(run_id) == "mine"
    assert "forged" in output_of(run_id, "stdout")["text"]
    assert "forged" in output_of(run_id, "stderr")["text"]
    oracle([run_id])


def test_five_megabytes_of_stderr_are_cut_with_a_note(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    run_id = acts.enqueue(hard.floods)
    house.work_off()
    assert result_of(run_id) == "done"
    kept = output_of(run_id, "stderr")
    assert kept["bytes"] > 5_000_000
    assert len(kept["text"]) < 20_000
    assert kept["text"].startswith("first words")
    assert kept["text"].endswith("last words\n")
    assert "bytes left out" in kept["text"]
    assert "last words" in capfd.readouterr().err  # it is in the worker's own log, too


# --- how it dies


@pytest.mark.seed("TR-35")
@pytest.mark.parametrize(("deadly", "told"), [(hard.exits, "exit code 7"), (hard.killed, "killed by SIGKILL")])
def test_a_death_without_an_outcome_is_a_lost_delivery(house: House, tmp_path: Path, deadly: Any, told: str) -> None:
    run_id, after = acts.enqueue(deadly), acts.enqueue(tasks.add, 1, 2)
    house.work_off()

    row = run_of(run_id)
    assert told in error_of(run_id)["message"]
    assert (row.error_code, row.attempts, row.deliveries) == ("CRASHED", 0, 2)
    assert journal.times(tmp_path / "journal", deadly.name) == 2
    assert result_of(after) == 3
    oracle([run_id, after])


def test_what_it_said_before_it_died_is_in_the_error(house: House) -> None:
    run_id = acts.enqueue(hard.exits)
    house.work_off()
    assert "about to leave" in error_of(run_id)["traceback"]


@pytest.mark.seed("TR-35")
def test_a_killed_child_is_retried_from_its_last_step(house: House, tmp_path: Path) -> None:
    run_id = acts.enqueue(hard.killed_once, str(tmp_path / "mark"))
    house.work_off()
    assert result_of(run_id) == "step 1"
    assert journal.times(tmp_path / "journal", "step") == 1
    assert (run_of(run_id).attempts, run_of(run_id).deliveries) == (0, 1)
    oracle([run_id])


# --- how it is stopped


@pytest.mark.parametrize(
    "slow", [hard.oversleeps, hard.deaf, hard.asleeps, hard.deaf_on_the_loop], ids=lambda task: str(task.name)
)
def test_a_timeout_is_kept_whatever_the_task_does(house: House, slow: Any) -> None:
    run_id, after = acts.enqueue(slow), acts.enqueue(tasks.add, 1, 2)
    began = time.monotonic()
    house.work_off()
    assert time.monotonic() - began < 20
    assert run_of(run_id).error_code == "TIMEOUT"
    assert result_of(after) == 3
    oracle([run_id, after])


def test_an_interrupted_task_tells_where_it_was(house: House) -> None:
    run_id = acts.enqueue(hard.oversleeps)
    house.work_off()
    assert "time.sleep(60)" in error_of(run_id)["traceback"]


@pytest.mark.seed("TR-21", "TR-35", "TR-P8")
@pytest.mark.parametrize("endless", [hard.lasts, hard.deaf_for_ever], ids=lambda task: str(task.name))
def test_a_cancellation_reaches_code_that_comes_to_no_primitive(
    house: House, endless: Any, wait_deed: Callable[..., None]
) -> None:
    house.start(heartbeat_seconds=0.2)
    run_id = acts.enqueue(endless)
    wait_deed("lasts")
    control.cancel(run_id, using="default", reason="enough")
    wait_end(run_id)
    assert run_of(run_id).status == RunStatus.CANCELLED
    oracle([run_id])


def test_what_a_task_has_started_is_killed_with_it(
    house: House, wait_deed: Callable[..., None], tmp_path: Path
) -> None:
    house.start(heartbeat_seconds=0.2)
    run_id = acts.enqueue(hard.has_offspring)
    wait_deed("offspring")
    (found,) = [deed for deed in journal.deeds(tmp_path / "journal") if deed["deed"] == "offspring"]
    control.cancel(run_id, using="default")
    wait_end(run_id)
    wait_until(lambda: is_gone(found["child"]), "the offspring is gone")


@pytest.mark.seed("TR-22")
def test_a_worker_that_stops_gives_back_what_its_children_carry(
    house: House, wait_deed: Callable[..., None], tmp_path: Path
) -> None:
    worker = house.start(shutdown_seconds=0.2)
    run_id = acts.enqueue(hard.lasts)
    wait_deed("lasts")
    (found,) = [deed for deed in journal.deeds(tmp_path / "journal") if deed["deed"] == "lasts"]
    worker.abort()
    wait_until(lambda: run_of(run_id).status == RunStatus.READY, "the run is given back")
    assert (run_of(run_id).attempts, run_of(run_id).deliveries) == (0, 0)
    wait_until(lambda: is_gone(found["pid"]), "the child is gone")


def is_gone(pid: int) -> bool:
    """Tell whether a process is no more, or waits for nothing but to be noticed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


# --- limits


def test_a_task_that_burns_the_processor_fails(house: House) -> None:
    run_id, after = acts.enqueue(hard.burns), acts.enqueue(tasks.add, 1, 2)
    house.work_off(child_cpu_seconds=1)
    assert run_of(run_id).error_code == "CPU_TIME"
    assert result_of(after) == 3
    oracle([run_id, after])


def test_a_task_that_asks_for_too_much_memory_fails(house: House) -> None:
    run_id, after = acts.enqueue(hard.hoards), acts.enqueue(tasks.add, 1, 2)
    house.work_off(child_memory_mb=2048)
    assert error_of(run_id)["exception_class_path"] == "builtins.MemoryError"
    assert result_of(after) == 3


def test_a_thread_that_a_task_leaves_keeps_nobody(house: House) -> None:
    run_id = acts.enqueue(hard.leaves_thread)
    house.work_off()
    assert result_of(run_id) == "done"


# --- undoing


@pytest.mark.parametrize(
    "regretful", [hard.regretful, hard.regretful_and_deaf, hard.regrets_cancellation], ids=lambda task: str(task.name)
)
def test_what_was_done_is_undone_also_after_a_kill(
    house: House, regretful: Any, wait_deed: Callable[..., None], tmp_path: Path
) -> None:
    house.start(heartbeat_seconds=0.2)
    run_id = acts.enqueue(regretful)
    if regretful is hard.regrets_cancellation:
        wait_deed("booked")
        control.cancel(run_id, using="default")
    wait_end(run_id)
    assert journal.times(tmp_path / "journal", "taken back", value=7) == 1
    oracle([run_id])


# --- misbehaviour that a thread survives, too


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_nothing_that_a_task_raises_or_returns_takes_the_worker_along(house: House, executor: str) -> None:
    hostile = [acts.enqueue(task) for task in tasks.HOSTILE]
    after = acts.enqueue(tasks.add, 1, 2)
    house.work_off(executor)
    for task, run_id in zip(tasks.HOSTILE, hostile, strict=True):
        assert error_of(run_id)["exception_class_path"], task
    assert result_of(after) == 3
    oracle([*hostile, after])


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_the_next_task_finds_the_connection_clean(house: House, executor: str) -> None:
    found = []
    for untidy in tasks.UNTIDY:
        found += [acts.enqueue(untidy), acts.enqueue(tasks.says_if_clean)]
    house.work_off(executor, concurrency=1, prefetch=0)
    for run_id in found[1::2]:
        clean = {"in_atomic_block": False, "autocommit": True, "needs_rollback": False, "leftovers": 0}
        assert result_of(run_id) == clean


def test_a_run_on_a_thread_that_cannot_be_stopped_is_marked(house: House, tmp_path: Path) -> None:
    house.start("thread")
    run_id = acts.enqueue(hard.stuck_on_a_thread, str(tmp_path / "gate"), timeout=0.2)
    marked = Step.objects.filter(run_id=run_id, level="warn", message__contains="cannot be stopped")
    wait_until(marked.count, "the run is marked")
    (tmp_path / "gate").touch()
    wait_end(run_id)
    assert marked.count() == 1
    oracle([run_id])


def test_a_child_that_is_killed_while_it_waits_is_replaced(house: House) -> None:
    first = acts.enqueue(hard.where)
    house.start()
    wait_end(first)
    os.kill(result_of(first)["pid"], signal.SIGKILL)
    second = acts.enqueue(hard.where)
    wait_end(second)
    assert result_of(second)["pid"] != result_of(first)["pid"]
