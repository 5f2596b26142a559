"""The site and its workers, each a process of its own, on one test's database."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from tests.faults.harness import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
HOST = "127.0.0.1"
PATIENCE = 180.0
GRACE_SECONDS = 10.0
DIRECT = build_opener(ProxyHandler({}))  # nothing stands between this machine and itself
# A worker that is killed is missed soon, and one that is asked for an answer looks soon.
OPTIONS: dict[str, Any] = {
    "lease_seconds": 4.0,
    "heartbeat_seconds": 1.0,
    "sweep_seconds": 0.5,
    "poll_seconds": 0.2,
    "shutdown_seconds": 5.0,
}


class Process:
    """A Python process whose words go to a file."""

    def __init__(self, name: str, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as words:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
            )

    @property
    def words(self) -> str:
        """What it has said."""
        return self.log.read_text(errors="replace")

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Ask it to end, and do not ask twice."""
        if self.is_alive:
            self._process.terminate()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()


class House:
    """A site under daphne and any number of workers; ``close()`` ends them all."""

    def __init__(self, environment: dict[str, str], folder: Path, *, redis_url: str = "", **variables: str) -> None:
        self.folder = folder
        self.port = _free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.environment = {
            **environment,
            "DJANGO_SETTINGS_MODULE": "tests.browser.settings",
            "TEST_OPTIONS": json.dumps(OPTIONS),
            "AIRPORTS_REPORT_DIR": str(folder / "reports"),
            "REDIS_URL": redis_url,
            **variables,
        }
        self.processes: list[Process] = []
        self.site: Process | None = None

    def open_site(self) -> None:
        """Start the site, on the same port each time, and wait until it answers."""
        command = ["-m", "daphne", "-b", HOST, "-p", str(self.port), "example_project.asgi:application"]
        self.site = self._start("site", command)
        wait_until(self._answers, f"the site answers; it said:\n{self.site.words[-3000:]}", seconds=PATIENCE)

    def close_site(self) -> None:
        """Kill the site, with all that is connected to it."""
        assert self.site is not None
        self.site.kill()

    def start_worker(self, *arguments: str) -> Process:
        """Start `manage.py runtasks`."""
        number = sum(process.name.startswith("worker") for process in self.processes) + 1
        return self._start(f"worker-{number}", [str(ROOT / "manage.py"), "runtasks", *arguments])

    def story(self) -> str:
        """Tell what every process said last."""
        return "\n".join(f"--- {each.name}\n{each.words[-3000:]}" for each in self.processes)

    def close(self) -> None:
        """End all processes, the last one first."""
        for process in reversed(self.processes):
            process.end()

    def _start(self, name: str, command: list[str]) -> Process:
        process = Process(name, command, self.folder, self.environment)
        self.processes.append(process)
        return process

    def _answers(self) -> bool:
        assert self.site is not None
        if not self.site.is_alive:
            raise AssertionError(f"The site ended:\n{self.site.words[-3000:]}")
        try:
            with DIRECT.open(f"{self.url}/admin/login/", timeout=5) as response:
                return bool(response.status == 200)
        except (URLError, OSError):
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
