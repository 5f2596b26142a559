"""``manage.py demo``, run as a newcomer runs it, against a script that shares no code with it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from django.db import connection

from example_project import databases

from . import figures

ROOT = Path(__file__).resolve().parents[2]
KEYS = {
    "rows_read",
    "rows_written",
    "doubtful",
    "chunks",
    "chunks_written_twice",
    "killed_at_percent",
    "attempts",
    "longest_hops",
    "report",
    "seconds",
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


def environment() -> dict[str, str]:
    """Give the environment that a newcomer's shell has: no settings of the tests, no database of theirs."""
    ours = {"DJANGO_SETTINGS_MODULE", "DATABASE_URL", "LEASE_SECONDS", "AIRPORTS_REPORT_DIR", "DURABLE_FAULTS"}
    return {name: value for name, value in os.environ.items() if name not in ours}


def start(directory: Path, *arguments: str, **streams: Any) -> subprocess.Popen[str]:
    """Start the demo with its files in a directory of the test's."""
    command = [sys.executable, "manage.py", "demo", "--directory", str(directory), *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment(), text=True, **streams)


def run(directory: Path, *arguments: str) -> tuple[int, str, str]:
    """Run the demo with its standard input closed; return its exit code, output and complaints."""
    demo = start(
        directory,
        *arguments,
        stdin=None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: os.close(0),
    )
    output, complaints = demo.communicate(timeout=180)
    return demo.returncode, output, complaints


@contextmanager
def started(directory: Path, line: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start the demo and wait until it says a line that begins so."""
    demo = start(directory, *arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert demo.stdout is not None
    try:
        assert any(each.startswith(line) for each in demo.stdout)
        yield demo
    finally:
        demo.terminate()
        demo.communicate(timeout=60)


@cache
def expected_figures(*, drop_doubtful: bool = False) -> dict[str, Any]:
    """Let the independent script work out the figures, once."""
    return figures.figures(figures.installed_file(), drop_doubtful=drop_doubtful)


def last_line(output: str) -> dict[str, Any]:
    """Read the JSON on the last line."""
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def hops_of(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the ends of each country's longest hop as the demo tells them."""
    return {hop["country"]: (hop["start"], hop["end"]) for hop in found["longest_hops"]}


def living_children(directory: Path) -> list[str]:
    """Return the command lines of the processes that still have the directory's log files open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            open_files = [os.readlink(each) for each in (process / "fd").iterdir()]
            if any(name.startswith(str(directory)) for name in open_files):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it ended while we looked
            continue
    return found


@pytest.mark.databases("sqlite")
def test_every_figure_is_what_the_file_says(tmp_path: Path) -> None:
    code, output, complaints = run(tmp_path, "--json")
    assert code == 0, output + complaints
    found, expected = last_line(output), expected_figures()
    assert set(found) == KEYS
    for name in ("rows_read", "rows_written", "doubtful"):
        assert found[name] == expected[name], name
    assert found["chunks"] == -(-expected["rows_read"] // 250)
    assert found["chunks_written_twice"] == 0
    assert 30 <= found["killed_at_percent"] <= 70
    assert found["attempts"] == 2
    assert hops_of(found) == {country: (hop["start"], hop["end"]) for country, hop in expected["longest_hops"].items()}
    assert {hop["country"]: hop["km"] for hop in found["longest_hops"]} == pytest.approx(
        {country: hop["km"] for country, hop in expected["longest_hops"].items()}, abs=0.001
    )
    assert "<svg" in Path(found["report"]).read_text(encoding="utf-8")
    assert found["seconds"] < 120
    assert "There is no terminal to ask on" in output
    assert "with SIGKILL inside the step of chunk" in output
    assert living_children(tmp_path) == []


@pytest.mark.databases("sqlite")
def test_plain_steps_write_a_chunk_twice_and_the_demo_says_so(tmp_path: Path) -> None:
    code, output, complaints = run(tmp_path, "--json", "--plain-steps")
    assert code == 1, output + complaints
    assert last_line(output)["chunks_written_twice"] == 1
    assert "chunks written twice" in complaints


@pytest.mark.databases("sqlite")
def test_dropped_rows_are_gone_from_the_figures(tmp_path: Path) -> None:
    code, output, complaints = run(tmp_path, "--json", "--answer", "drop", "--chunk-rows", "1000")
    assert code == 0, output + complaints
    found, expected = last_line(output), expected_figures(drop_doubtful=True)
    assert found["rows_written"] == expected["rows_written"] == found["rows_read"] - found["doubtful"]
    assert hops_of(found) == {country: (hop["start"], hop["end"]) for country, hop in expected["longest_hops"].items()}


@pytest.mark.databases("postgresql", "mysql")
def test_it_runs_the_same_on_a_server(transactional_db: None, tmp_path: Path) -> None:
    code, output, complaints = run(
        tmp_path, "--json", "--database-url", databases.to_url(connection.settings_dict), "--chunk-rows", "500"
    )
    assert code == 0, output + complaints
    found = last_line(output)
    assert (found["chunks_written_twice"], found["attempts"]) == (0, 2)
    assert found["rows_written"] == found["rows_read"]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_ended_leaves_no_worker_behind(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path, "Started worker 1") as demo:
        demo.send_signal(number)
        demo.communicate(timeout=60)
        assert demo.returncode == 128 + number
        assert living_children(tmp_path) == []


@pytest.mark.databases("sqlite")
def test_the_site_stays_up_until_it_is_ended(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with started(tmp_path, "The site is up", "--serve", "--port", str(port), "--chunk-rows", "2000") as demo:
        site = f"http://127.0.0.1:{port}"
        for address in ("/admin/login/", "/airports/", "/static/airports/report.css"):
            assert urlopen(site + address).status == 200, address
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=60)
        assert demo.returncode == 0
        assert living_children(tmp_path) == []


@pytest.mark.databases("sqlite")
def test_two_demos_do_not_share_a_directory(tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, complaints = run(tmp_path)
    assert code == 1
    assert "Another demo runs" in complaints


@pytest.mark.databases("sqlite")
def test_a_port_that_is_taken_is_said_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, output, complaints = run(tmp_path, "--serve", "--port", str(taken.getsockname()[1]))
    assert code == 1
    assert "choose another --port" in complaints
    assert "Started worker" not in output
