"""The embedded PostgreSQL: there in a second, survives a crash on request, gone with its process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests import embedded_postgres

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.databases("postgresql")]


def connect(server: embedded_postgres.Server) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(host=str(server.socket), user="postgres", dbname="postgres", autocommit=True)


def test_what_was_committed_survives_a_crash_of_the_server() -> None:
    with embedded_postgres.Server(durable=True) as server:
        with connect(server) as connection:
            connection.execute("CREATE TABLE kept (value int)")
            connection.execute("INSERT INTO kept VALUES (7)")
        server.stop("immediate")
        with pytest.raises(psycopg.OperationalError):
            connect(server)
        server.start()
        with connect(server) as connection:
            assert connection.execute("SELECT value FROM kept").fetchall() == [(7,)]


def test_nothing_is_left_of_a_server_whose_process_was_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.embedded_postgres"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        assert url.startswith("postgresql://postgres@/postgres?host=")
        root = Path(url.partition("host=")[2].replace("%2F", "/")).parent
        watcher = next(pid for pid in children_of(child.pid) if "--clean-up" in command_of(pid))
        assert (root / "data" / "postmaster.pid").exists()
        child.kill()
    wait_for_the_end_of(watcher)
    assert not root.exists()


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def wait_for_the_end_of(pid: int) -> None:
    # Not a child of ours: its end shows on the handle that the kernel keeps for it.
    import os
    import select

    handle = os.pidfd_open(pid)
    try:
        assert select.select([handle], [], [], 30)[0], "the watcher never ended"
    finally:
        os.close(handle)
