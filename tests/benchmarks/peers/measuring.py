"""Measure one peer: its environment, its database, its worker processes."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from tests.benchmarks.peers.peers import Peer, Rows

ROOT = Path(__file__).resolve().parent.parent.parent.parent
PATIENCE = 300.0
CALL = "from tests.benchmarks.peers.drivers.{driver} import main; main()"


class Failed(RuntimeError):
    """A peer could not be measured; the message holds what it said."""


def environment(peer: Peer, folder: Path) -> Path:
    """Make the peer's own virtual environment, unless it is there, and return its Python."""
    python = folder / peer.driver / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / peer.driver], check=True)
        _checked([python, "-m", "pip", "install", "--quiet", *peer.needs], {})
    return python


def versions(python: Path, peer: Peer) -> str:
    """Name what was installed, as `name version`."""
    name = peer.needs[0].split(">")[0].split("[")[0]
    if peer.driver in {"django_tasks_db", "django_absurd"}:
        name = peer.driver.replace("_", "-")
    told = _checked([python, "-c", f"import importlib.metadata as m; print(m.version({name!r}))"], {})
    return f"{name} {told.strip()}"


class Trial:
    """One peer on one empty place. ``scale`` shortens or lengthens all that is measured."""

    def __init__(self, peer: Peer, python: Path, url: str, folder: Path, scale: float) -> None:
        self.peer, self.python, self.url, self.folder, self.scale = peer, python, url, folder, scale
        self.environment = {
            **{
                key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "DJANGO_SETTINGS_MODULE"}
            },
            "PYTHONPATH": str(ROOT),
            "PEER_URL": url,
            "PEER_FOLDER": str(folder),
        }

    def figures(self) -> dict[str, Any]:
        """Measure all that this peer can do. Raise Failed with its words when it does not."""
        self._do("prepare")
        size = self._size
        found: dict[str, Any] = {"enqueue_per_s": self._do("enqueue", size(500))["per_s"]}
        if self.peer.has_bulk:
            found["enqueue_many_per_s"] = self._do("bulk", size(5_000))["per_s"]
        self._drain(size(500) + (size(5_000) if self.peer.has_bulk else 0), 1)
        found["drain_per_s"] = {}
        for workers in (1, 2):
            self._fill(size(self.peer.jobs))
            found["drain_per_s"][str(workers)] = self._drain(size(self.peer.jobs), workers)
        found["pickup_ms"] = self._pickup(100)
        if self.peer.has_steps:
            found["steps_per_s"] = {
                "sequential": self._steps(1, size(1_000), 1),
                "concurrent": self._steps(size(200), 10, 50),
            }
            found["resume_ms"] = {str(count): self._do("resume", size(count))["ms"] for count in (1_000, 10_000)}
        if self.peer.rows:
            found["growth"] = self._growth(self.peer.rows, found["drain_per_s"]["1"])
        return found

    def _size(self, full: int) -> int:
        return max(20, int(full * self.scale))

    def _growth(self, rows: Rows, empty: float) -> dict[str, float]:
        """Drain beside 100,000 jobs that are due tomorrow and beside 1,000,000 that ended; tell each of the plain drain."""
        found = {}
        jobs = self._size(self.peer.jobs // 2)
        self._do("enqueue", 1)
        with psycopg.connect(self.url, autocommit=True) as connection:
            _multiply(connection, rows, rows.waiting, self._size(100_000), {rows.due: "now() + interval '1 day'"})
            self._fill(jobs)
            found["future_100k"] = self._drain(jobs + 1, 1) / empty
            connection.execute(f"DELETE FROM {rows.table} WHERE {rows.due} > now() + interval '1 hour'".encode())
            if rows.ended:
                # What was deleted may have been all that ended.
                self._fill(20)
                self._drain(20, 1)
                _multiply(connection, rows, rows.ended, self._size(1_000_000), {})
                self._fill(jobs)
                found["finished_1m"] = self._drain(jobs, 1) / empty
        return found

    def _fill(self, jobs: int) -> None:
        self._do("bulk" if self.peer.has_bulk else "enqueue", jobs)

    def _drain(self, count: int, workers: int) -> float:
        """Let workers do what waits, and return how many a second between the first and the last."""
        with self._working(workers):
            told = self._wait(count)
        return (count - 1) / (max(each["last"] for each in told) - min(each["first"] for each in told))

    def _pickup(self, count: int) -> dict[str, float]:
        with self._working(1):
            time.sleep(3)  # until it has started and found nothing
            self._do("pickup", count)
            told = self._wait(count)
        late = sorted(value for each in told for value in each["latencies"])
        cuts = statistics.quantiles(late, n=100)
        return {"p50": statistics.median(late), "p95": cuts[94], "p99": cuts[98]}

    def _steps(self, runs: int, steps: int, at_once: int) -> float:
        self._do("workflows", runs, steps)
        with self._working(1, at_once):
            (told,) = self._wait(runs * steps)
        return float((runs * steps - 1) / (told["last"] - told["first"]))

    @contextmanager
    def _working(self, workers: int, *counts: int) -> Iterator[None]:
        for path in self.folder.glob("*.json"):
            path.unlink()
        with tempfile.TemporaryFile() as words:
            processes = [self._start(words, "work", *counts) for _number in range(workers)]
            try:
                yield
            except Failed as error:
                words.seek(0)
                raise Failed(f"{error}\n{words.read().decode(errors='replace')[-2000:]}") from None
            finally:
                for process in processes:
                    process.kill()
                    process.wait()

    def _wait(self, count: int) -> list[dict[str, Any]]:
        """Wait until the workers have told of so many, and return what each told."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            told = [json.loads(path.read_text()) for path in self.folder.glob("*.json")]
            told = [each for each in told if each["count"]]
            if sum(each["count"] for each in told) >= count:
                return told
            time.sleep(0.02)
        raise Failed(f"{self.peer.name} has done {sum(each['count'] for each in told)} of {count} in {PATIENCE:.0f} s.")

    def _do(self, action: str, *counts: int) -> dict[str, Any]:
        words = _checked(self._command(action, *counts), self.environment)
        lines = [line for line in words.splitlines() if line.startswith("{")]
        return json.loads(lines[-1]) if lines else {}

    def _start(self, words: Any, action: str, *counts: int) -> subprocess.Popen[bytes]:
        command = self._command(action, *counts)
        return subprocess.Popen(command, env=self.environment, cwd=self.folder, stdout=words, stderr=words)

    def _command(self, action: str, *counts: int) -> list[str]:
        return [str(self.python), "-c", CALL.format(driver=self.peer.driver), action, *map(str, counts)]


def _multiply(
    connection: psycopg.Connection[Any], rows: Rows, status: str, count: int, changes: Mapping[str, str]
) -> None:
    """Copy one job of a status many times, without the triggers that tell workers of each."""
    columns = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s", (rows.table,)
    ).fetchall()
    made = {name: "gen_random_uuid()" for name, kind in columns if (name, kind) == ("id", "uuid")}
    kept = {name: changes.get(name, f't."{name}"') for name, _kind in columns if name != "id"}
    values = {**made, **kept}
    names = ", ".join(f'"{name}"' for name in values)
    statement = (
        f"INSERT INTO {rows.table} ({names}) SELECT {', '.join(values.values())} FROM "
        f"(SELECT * FROM {rows.table} WHERE status = '{status}' ORDER BY id DESC LIMIT 1) t, generate_series(1, {count})"
    )
    connection.execute("SET session_replication_role = replica")
    connection.execute(statement.encode())
    connection.execute(f"VACUUM (ANALYZE) {rows.table}".encode())


@contextmanager
def database(server_url: str, name: str) -> Iterator[str]:
    """Make an empty database on the server for one peer, and drop it afterwards."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield server_url.rpartition("/")[0] + f"/{name}"
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Start a Redis of our own that appends to its file every second."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = int(found.getsockname()[1])
    command = ["redis-server", "--port", str(port), "--dir", str(folder), "--appendonly", "yes", "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_for(f"redis://127.0.0.1:{port}/0")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


def _wait_for(url: str) -> None:
    place, end = urlsplit(url), time.monotonic() + 20
    while time.monotonic() < end:
        with socket.socket() as probe:
            if not probe.connect_ex((place.hostname or "", place.port or 0)):
                return
        time.sleep(0.05)
    raise Failed(f"Nothing answers at {url}.")


def _checked(command: list[Any], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, env=environment or None, capture_output=True, text=True, check=False, timeout=PATIENCE * 2
    )
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command[-3:]))} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout
