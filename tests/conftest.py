"""What every room of the tests shares."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from example_project import databases

ROOT = Path(__file__).resolve().parent.parent
FAULTS = ROOT / "tests" / "faults"
JOURNEYS = ROOT / "tests" / "browser"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --quick, --seed-report for `python -m tests.seeds`, and what `python -m tests.browser` says."""
    parser.addoption("--quick", action="store_true", help="leave out the faults and what is marked slow")
    parser.addoption("--nightly", action="store_true", help="add what repeats a kind of fault that runs on every push")
    parser.addoption("--seed-report", metavar="FILE", help="add the outcome of each seed row to a JSON file")
    parser.addoption("--fault-report", metavar="FILE", help="enter what each fault has shown in a JSON file")
    parser.addoption("--browser", action="store_true", help="make the journeys in a real browser, too")
    parser.addoption("--headed", action="store_true", help="show the browser's windows")
    parser.addoption("--pictures", action="store_true", help="renew the pictures in docs/images")


def pytest_configure(config: pytest.Config) -> None:
    """Start the seed report when one is asked for, and let Ctrl-C reach the children of tests."""
    # A script's background job is started with SIGINT ignored, and hands that on to every process that a test interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if path := config.getoption("--seed-report"):
        config.pluginmanager.register(SeedReport(Path(path)), "seed-report")
    if path := config.getoption("--fault-report"):
        from tests.faults.ledger import FaultLedger

        config.pluginmanager.register(FaultLedger(Path(path)), "fault-report")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked for other databases, and what is slow when in a hurry."""
    from django.db import connection

    if not config.getoption("--browser"):
        journeys = [item for item in items if JOURNEYS in item.path.parents]
        config.hook.pytest_deselected(items=journeys)
        items[:] = [item for item in items if JOURNEYS not in item.path.parents]

    vendor = connection.vendor
    for item in items:
        marker = item.get_closest_marker("databases")
        if marker and vendor not in marker.args:
            item.add_marker(pytest.mark.skip(reason=f"is about {', '.join(marker.args)}; this run is on {vendor}"))
        # A fault costs seconds each: MariaDB sees those that say they are about it.
        if vendor == "mysql" and marker is None and FAULTS in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="not marked for MariaDB"))
        if item.get_closest_marker("nightly") and not config.getoption("--nightly"):
            item.add_marker(pytest.mark.skip(reason="repeats a kind of fault; python -m tests.faults --nightly"))
        if config.getoption("--quick") and (item.get_closest_marker("slow") or FAULTS in item.path.parents):
            item.add_marker(pytest.mark.skip(reason="slow, and this run is --quick"))


class SeedReport:
    """Counts, for each row of the seed checklist, the marked tests that passed, failed or were left out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Runs on several databases add to one report.
        self.rows: dict[str, dict[str, int]] = json.loads(path.read_text()) if path.exists() else {}
        self.ids: dict[str, set[str]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Remember which rows each collected test names."""
        for item in session.items:
            named = {str(row) for marker in item.iter_markers("seed") for row in marker.args}
            if named:
                self.ids[item.nodeid] = named

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once: by its call, or by the setup or teardown that kept it from passing."""
        if report.nodeid not in self.ids or (report.when != "call" and report.passed):
            return
        for row in self.ids[report.nodeid]:
            counts = self.rows.setdefault(row, {"passed": 0, "failed": 0, "skipped": 0})
            counts[report.outcome] += 1

    def pytest_sessionfinish(self) -> None:
        """Write the report."""
        self.path.write_text(json.dumps(self.rows, indent=1, sort_keys=True))


@pytest.fixture
def database_url(transactional_db: None) -> str:
    """Name the test database to another process; what it commits there is seen here."""
    from django.db import connection

    return databases.to_url(connection.settings_dict)


@pytest.fixture
def child_environment(database_url: str) -> dict[str, str]:
    """Give the environment in which a child process works on this test's database."""
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def manage(child_environment: dict[str, str]) -> Iterator[Any]:
    """Start `manage.py` commands on this test's database; whatever still runs at the end is killed."""
    import subprocess

    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            cwd=ROOT,
            env={**child_environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        if child.poll() is None:
            child.kill()
        child.communicate()
