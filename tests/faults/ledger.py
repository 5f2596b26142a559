"""What the tests of faults have shown: counted for each fault and database, and kept in a JSON file."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from pytest_django.plugin import blocking_manager_key

#: What the oracle has judged since the process began: runs, runs that were lost, deliveries that a death made needless.
JUDGED: Counter[str] = Counter()


class FaultLedger:
    """Counts the tests of each fault that passed and failed, and what the oracle found in them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: dict[str, Counter[str]] = {}
        self.version = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[Any, Any, Any]:
        """Enter a test with its call, or with what kept it from being called."""
        report = yield
        if report.when == "call" or not report.passed:
            named = {str(name) for marker in item.iter_markers("fault") for name in marker.args}
            for name in named:
                counts = self.counts.setdefault(name, Counter())
                counts[report.outcome] += 1
                counts.update({f"judged_{what}": count for what, count in JUDGED.items()})
            JUDGED.clear()
            if named:
                # At once, because a test that runs out of time takes the whole session along.
                with item.config.stash[blocking_manager_key].unblock():
                    self._write()
        return report

    def _write(self) -> None:
        """Write down what this database has shown so far; what an earlier run showed of the same faults is replaced."""
        from django.db import connection

        # Read anew each time, because another database may be entered at the same time.
        found: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {}
        place = found.setdefault(connection.vendor, {"faults": {}})
        place["version"] = self.version = self.version or _version(connection)
        place["machine"] = machine()
        place["faults"].update({name: dict(counts) for name, counts in self.counts.items()})
        self.path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


def machine() -> str:
    """Name the machine and what runs the tests."""
    import django

    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, Django {django.get_version()}"
    )


def _version(connection: Any) -> str:
    """Ask the database for its name and version."""
    names = {"postgresql": "PostgreSQL", "sqlite": "SQLite", "mysql": "MariaDB"}
    return f"{names[connection.vendor]} {'.'.join(map(str, connection.get_database_version()))}"
