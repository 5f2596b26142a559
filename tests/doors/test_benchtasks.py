"""``manage.py benchtasks``: its figures are real, it leaves nothing behind and it overwrites nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from django_tasks_durable.management.bench import plans
from django_tasks_durable.management.bench.place import Place, PlaceTaken, place_of
from django_tasks_durable.models import TaskRun, Worker
from tests.probe import tasks

Manage = Callable[..., "subprocess.Popen[str]"]
NAME = f"dtd_bench_test_{os.getpid()}"
KEYS = {
    "machine": {"cores", "python", "django"},
    "database": {"vendor", "version"},
    "limit": {
        "insert_commits_per_s",
        "bulk_rows_per_s",
        "copied_rows_per_s",
        "claim_complete_b1_per_s",
        "claim_complete_b500_per_s",
        "step_commits_per_s",
        "steps_batched_per_s",
    },
    "enqueue_per_s": set(),
    "enqueue_many_per_s": set(),
    "enqueue_20k_per_s": set(),
    "claim_per_s": set(),
    "drain_per_s": {"async", "sync"},
    "drain_failures_history_per_s": {"async", "sync"},
    "pickup_ms": {"p50", "p95", "p99"},
    "steps_per_s": {"sequential", "concurrent", "atomic"},
    "resume_ms": {"1000", "10000"},
    "visit_ms": {"100", "10000"},
    "growth": {
        "empty", "finished_1m", "future_100k", "future_1m", "blocked_10k", "parked_10k", "snapshot_claim_ms",
        "long_run_per_s", "curves",
    },
    "rss_mb": {"idle", "peak"},
    "ratio": {"enqueue", "drain_async", "drain_sync", "steps_sequential", "growth_future_100k"},
}  # fmt: skip
CURVES = {"finished", "future", "blocked", "parked", "free_claim", "snapshot_claim", "long_run", "resume", "visits"}


@pytest.fixture
def place(transactional_db: None) -> Iterator[Place]:
    """Give the place of these tests, and take away whatever a failed one left there."""
    found = place_of("default", NAME)
    yield found
    found.remove()


def benchtasks(*arguments: str) -> str:
    """Run the command in this process and return what it wrote."""
    out = StringIO()
    call_command("benchtasks", "--name", NAME, "--verbosity", "0", *arguments, stdout=out)
    return out.getvalue()


def numbers(value: Any) -> Iterator[float]:
    """Give every number of a JSON value."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from numbers(inner)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_scene_has_a_real_figure_under_its_public_key(place: Place) -> None:
    found = json.loads(benchtasks("--json", "--scale", "0.01"))

    for key, inner in KEYS.items():
        assert key in found
        assert not inner or inner <= set(found[key]), key
    measured = {key: found[key] for key in KEYS if key not in {"machine", "database"}}
    missing = [line["line"] for line in found["targets"] if line["figure"] is None]
    assert missing == []
    assert set(found["growth"]["curves"]) == CURVES
    measured["growth"] = {key: value for key, value in found["growth"].items() if key != "curves"}
    measured["rss_mb"] = {key: found["rss_mb"][key] for key in ("idle", "peak")}
    assert all(number > 0 for number in numbers(measured))
    assert not place.exists()


def test_only_what_was_asked_for_is_measured_beside_its_yardstick(place: Place) -> None:
    found = json.loads(benchtasks("--json", "--only", "enqueue_many", "--scale", "0.01"))

    assert found["enqueue_many_per_s"] > 0
    assert found["limit"]["bulk_rows_per_s"] > 0
    assert found["ratio"]["enqueue_many"] == pytest.approx(
        found["enqueue_many_per_s"] / found["limit"]["bulk_rows_per_s"], rel=2
    )
    assert found["enqueue_per_s"] is None
    assert found["limit"]["insert_commits_per_s"] is None


def test_the_table_names_each_line_with_its_target(place: Place) -> None:
    said = benchtasks("--only", "enqueue_many", "--scale", "0.01")

    (line,) = [line for line in said.splitlines() if line.startswith("enqueue 4,000")]
    assert "/s" in line
    assert (">= 20,000" in line) is (connection.vendor == "postgresql")


def test_what_fell_since_an_earlier_run_is_named(place: Place, tmp_path: Path) -> None:
    earlier = json.loads(benchtasks("--json", "--only", "enqueue_many", "--scale", "0.01"))
    earlier["samples"]["enqueue_many"] = [1e6, 1e6, 1e6]
    earlier["samples"]["enqueue_20k"] = [1e-6, 1e-6, 1e-6]
    path = tmp_path / "earlier.json"
    path.write_text(json.dumps(earlier))

    with pytest.raises(CommandError, match=r"^Slower than in .*earlier\.json: enqueue_many: [^;]*$"):
        benchtasks("--only", "enqueue_many", "--scale", "0.01", "--compare", str(path))


def test_a_run_that_cannot_be_compared_is_refused_before_anything_is_measured(place: Place, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"none\.json is not what benchtasks --json writes"):
        benchtasks("--compare", str(tmp_path / "none.json"))
    assert not place.exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.databases("postgresql")
def test_the_model_holds_what_it_predicts_against_what_is_measured(place: Place) -> None:
    found = json.loads(benchtasks("--json", "--only", "enqueue_many", "--scale", "0.01", "--model"))["model"]

    assert [line["line"] for line in found["lines"]] == [
        "drain, async, 1 worker",
        "drain, async, 2 workers",
        "steps in one run",
    ]
    for line in found["lines"]:
        assert line["error"] == pytest.approx(line["predicted_per_s"] / line["measured_per_s"] - 1, rel=0.05, abs=0.01)
    drain, _, steps = found["lines"]
    assert drain["commits_per_unit"] < 0.5 < steps["commits_per_unit"]
    assert [each["cores"] for each in found["scale"]][-1] == 64


@pytest.mark.databases("sqlite", "mysql")
def test_a_database_that_does_not_tell_what_the_model_needs_is_named(place: Place) -> None:
    with pytest.raises(CommandError, match=r"model \(NotModelled: only PostgreSQL tells"):
        benchtasks("--only", "enqueue_many", "--scale", "0.01", "--model")
    assert not place.exists()


def test_the_runs_of_the_project_are_not_touched(place: Place) -> None:
    with connection.cursor() as cursor:
        before = set(connection.introspection.table_names(cursor))
    benchtasks("--json", "--only", "enqueue_many", "--scale", "0.01")

    assert TaskRun.objects.count() == 0
    with connection.cursor() as cursor:
        assert set(connection.introspection.table_names(cursor)) == before
    assert not place.exists()


def refusing(get_outcome: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Be a middleware of the project's that lets nothing through."""

    def middleware(context: Any) -> Any:
        raise PermissionError(context)

    return middleware


def test_the_middleware_of_the_project_stays_out(place: Place, settings: Any) -> None:
    durable = settings.TASKS["default"]
    chosen = {**durable.get("OPTIONS", {}), "middleware": [f"{__name__}.refusing"]}
    settings.TASKS = {**settings.TASKS, "default": {**durable, "OPTIONS": chosen}}

    found = json.loads(benchtasks("--json", "--only", "enqueue", "--scale", "0.02"))

    assert found["enqueue_per_s"] > 0


def test_a_place_with_other_data_is_refused_and_the_options_to_go_on_are_named(place: Place) -> None:
    occupy(place)

    with pytest.raises(CommandError, match=r"--name.*--overwrite"):
        benchtasks("--only", "enqueue_many", "--scale", "0.01")
    assert place.exists()


def test_a_place_with_other_data_may_be_overwritten(place: Place) -> None:
    occupy(place)

    benchtasks("--only", "enqueue_many", "--scale", "0.01", "--overwrite")

    assert not place.exists()


def test_what_a_killed_run_left_behind_is_taken_away_by_the_next(place: Place) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    place.make(f"{os.uname().nodename} {gone.pid}")

    place_of("default", NAME).prepare()

    assert place.marked_by() == f"{os.uname().nodename} {os.getpid()}"


def test_the_place_of_a_run_that_goes_on_is_refused(place: Place) -> None:
    place.prepare()

    with pytest.raises(PlaceTaken, match="in use"):
        place_of("default", NAME).prepare(overwrite=True)


def measuring_drains(manage: Manage) -> tuple[subprocess.Popen[str], int]:
    """Start a run that measures drains; return it, while it does, and the group of its processes."""
    command = manage("benchtasks", "--name", NAME, "--only", "drain", "--scale", "0.05", "--verbosity", "2")
    assert command.stdout is not None
    for line in command.stdout:
        if "drain.async.1" in line:
            break
    (group,) = children_of(command.pid)
    assert len(group_of(group)) > 1
    return command, group


@pytest.mark.slow
def test_a_worker_that_is_killed_ends_its_scene_with_the_reason_and_leaves_nothing_behind(
    place: Place, manage: Manage
) -> None:
    command, group = measuring_drains(manage)
    assert command.stdout is not None

    os.kill(next(pid for pid in group_of(group) if pid != group), signal.SIGKILL)

    said = command.stdout.read()
    assert "Could not measure: drain (WorkerFailed: A worker process ended with -9.)" in said
    assert command.wait(30) == 1
    assert not place.exists()
    assert group_of(group) == []


@pytest.mark.slow
def test_a_measuring_process_that_is_killed_takes_its_workers_with_it(place: Place, manage: Manage) -> None:
    command, group = measuring_drains(manage)
    assert command.stdout is not None

    os.kill(group, signal.SIGKILL)

    assert "ended with -9 before it had any results" in command.stdout.read()
    assert command.wait(30) == 1
    assert not place.exists()
    assert group_of(group) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_behind(place: Place, manage: Manage, number: signal.Signals) -> None:
    command, group = measuring_drains(manage)

    command.send_signal(number)

    assert command.wait(30) == 128 + number
    assert not place.exists()
    assert group_of(group) == []


def test_an_unknown_scene_is_refused_with_the_known_ones(transactional_db: None) -> None:
    with pytest.raises(CommandError, match=r"no scene 'speed'; there are enqueue"):
        benchtasks("--only", "speed")


def test_an_unknown_database_is_refused_with_the_known_ones(transactional_db: None) -> None:
    with pytest.raises(CommandError, match="there are default"):
        benchtasks("--database", "elsewhere")


def occupy(place: Place) -> None:
    """Put something by that name that benchtasks did not make."""
    place.make("nobody 0")
    if connection.vendor == "sqlite":
        place.remove()
        Path(place.path).write_text("a diary")  # type: ignore[attr-defined]
        return
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {NAME}.benchtasks_mark")
        cursor.execute(f"CREATE TABLE {NAME}.diary (line integer)")


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [number for number, parent, _, _ in processes() if parent == pid]


def group_of(leader: int) -> list[int]:
    """Return the living processes of a group."""
    return [number for number, _, group, state in processes() if group == leader and not state.startswith("Z")]


def processes() -> list[tuple[int, int, int, str]]:
    """Return each process of this machine: its number, parent, group and state."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in listed.splitlines())
    return [(int(pid), int(parent), int(group), state) for pid, parent, group, state in rows]


@pytest.mark.django_db
def test_the_plans_of_a_claim_are_told_and_nothing_of_it_stays() -> None:
    found = plans.of_a_claim(tasks.echo)

    assert any(line.startswith(("SELECT", "WITH")) for line in found)
    assert any("dtd_run_ready" in line for line in found)
    assert not TaskRun.objects.exists()
    assert not Worker.objects.exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_growth_shows_how_claims_were_planned_beside_each_table(place: Place) -> None:
    said = benchtasks("--only", "growth", "--scale", "0.001", "--plans")

    for beside in ("empty", "finished_1m", "future_100k"):
        assert f"A claim, growth.{beside}:" in said
    assert "dtd_run_ready" in said
