"""``manage.py demo NAME``: each of the smaller examples, as a newcomer runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from django_tasks_durable import validate_snapshot
from example_project import examples
from tests.example.test_demo import ROOT, environment

# Each example makes a database of its own, whatever the tests run on.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(100), pytest.mark.databases("sqlite")]


def demo(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo without a terminal, its files in a directory of the test's."""
    return subprocess.run(
        [sys.executable, "manage.py", "demo", *arguments, "--directory", str(directory)],
        cwd=ROOT,
        env=environment(),
        text=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


def test_the_list_names_every_example(tmp_path: Path) -> None:
    listed = demo(tmp_path, "--list").stdout.splitlines()

    assert [line.split()[0] for line in listed] == ["airports", *examples.all_examples()]


@pytest.mark.parametrize("name", examples.all_examples())
def test_each_example_ends_well_by_itself(name: str, tmp_path: Path) -> None:
    played = demo(tmp_path, name, "--json")

    assert played.returncode == 0, played.stderr
    figures: dict[str, Any] = json.loads(played.stdout.splitlines()[-1])
    assert figures.pop("example") == name
    assert figures
    # It has compared something with what it should be.
    assert "  ok    " in played.stdout


def test_an_unknown_example_is_told_with_the_nearest(tmp_path: Path) -> None:
    played = demo(tmp_path, "streeming")

    assert played.returncode == 1
    assert "Did you mean 'streaming'?" in played.stderr
    assert "Traceback" not in played.stderr


def test_orders_for_an_example_that_takes_none_are_refused(tmp_path: Path) -> None:
    played = demo(tmp_path, "streaming", "--script", "/add 2")

    assert played.returncode == 1
    assert "leave --script out" in played.stderr


def test_an_account_is_led_by_a_script(tmp_path: Path) -> None:
    played = demo(tmp_path, "interval-payment", "--script", "/add 2; /state; /save out.json; /cancel", "--json")

    assert played.returncode == 0, played.stderr
    figures = json.loads(played.stdout.splitlines()[-1])
    # One receipt, with both usages of the cycle: what everybody pays, and what was added.
    assert figures["receipts"] == [[1, 2]]
    assert validate_snapshot(json.loads(Path(figures["saved"][0]).read_text())).valid


def test_cycles_are_billed_apart(tmp_path: Path) -> None:
    played = demo(tmp_path, "interval-payment", "--script", "/add 2; /next; /add 3; /add 4; /next", "--json")

    assert json.loads(played.stdout.splitlines()[-1])["receipts"] == [[1, 2], [1, 3, 4], [1]]


def test_an_order_that_nobody_knows_is_told_with_the_nearest(tmp_path: Path) -> None:
    played = demo(tmp_path, "interval-payment", "--script", "/ad 2")

    assert played.returncode == 1
    assert "did you mean /add?" in played.stderr


def test_an_example_that_comes_out_wrong_fails(tmp_path: Path) -> None:
    told: list[str] = []
    stage = examples.Stage(told.append, tmp_path)

    with pytest.raises(examples.ExampleFailed, match="tokens: 3, and it should be 4"):
        stage.expect("tokens", 3, 4)
    assert told == []
