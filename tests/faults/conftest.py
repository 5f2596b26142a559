"""A yard of workers on this test's database, and one on a PostgreSQL that a test may stop."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from tests import embedded_postgres
from tests.faults.harness import Yard
from tests.faults.nursery import OURS, Nursery
from tests.faults.proxy import Proxy, free_port

PORTS = {"postgresql": 5432, "mysql": 3306}


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Load the project once for all workers."""
    nursery = Nursery({**os.environ, **OURS})
    yield nursery
    nursery.close()


@pytest.fixture
def yard(child_environment: dict[str, str], tmp_path: Path, nursery: Nursery) -> Iterator[Yard]:
    """Start workers here; they are gone when the test is over."""
    yard = Yard(child_environment, tmp_path, nursery)
    yield yard
    yard.close()


@pytest.fixture
def between(yard: Yard) -> Iterator[Proxy]:
    """Stand between workers and this test's database."""
    settings = connections["default"].settings_dict
    host, port = settings["HOST"] or "127.0.0.1", settings["PORT"]
    if host.startswith("/") and connections["default"].vendor == "postgresql":
        host = f"{host}/.s.PGSQL.{port or 5432}"
    found = Proxy(host, int(port or PORTS[connections["default"].vendor]))
    yield found
    found.close()


@pytest.fixture(scope="module")
def server() -> Iterator[embedded_postgres.Server]:
    """Start a PostgreSQL of our own that keeps what it acknowledged, whatever happens to it."""
    try:
        found = embedded_postgres.Server(durable=True, port=free_port())
    except embedded_postgres.Absent as missing:
        pytest.skip(str(missing))
    with found:
        yield found


@pytest.fixture
def own_database(server: embedded_postgres.Server, django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """Let the default alias of this process mean a fresh database on that server."""
    connection = connections["default"]
    kept = {**connection.settings_dict}
    server.start() if not _answers(server) else None
    with django_db_blocker.unblock():
        connection.close()
        connection.settings_dict.update(HOST="127.0.0.1", PORT=str(server.port), USER="postgres", NAME="postgres")
        with connection.cursor() as cursor:
            cursor.execute("DROP DATABASE IF EXISTS outage WITH (FORCE)")
            cursor.execute("CREATE DATABASE outage")
        connection.close()
        connection.settings_dict["NAME"] = "outage"
        call_command("migrate", run_syncdb=True, verbosity=0)
        yield f"postgresql://postgres@127.0.0.1:{server.port}/outage"
        connection.close()
        connection.settings_dict.update(kept)


def _answers(server: embedded_postgres.Server) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", server.port or 0)) == 0


@pytest.fixture
def own_yard(own_database: str, tmp_path: Path, nursery: Nursery) -> Iterator[Yard]:
    """Start workers on that database."""
    yard = Yard({**os.environ, **OURS, "DATABASE_URL": own_database}, tmp_path, nursery)
    yield yard
    yard.close()
