"""PgBouncer in transaction mode stands between the workers and PostgreSQL: what they need of a session, they do without."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.store import intake
from tests import embedded_postgres
from tests.faults.harness import Yard, oracle, wait_end, wait_until
from tests.faults.proxy import free_port
from tests.probe import tasks
from tests.probe.models import Effect

pytestmark = [pytest.mark.databases("postgresql"), pytest.mark.fault("F14")]
POOL = 3
RUNS = 40
OPTIONS = {"direct": False, "listen": False, "lease_seconds": 30}


@pytest.fixture
def pooler(server: embedded_postgres.Server, own_database: str) -> Iterator[str]:
    """Start a PgBouncer with a small pool, and name the database behind it."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("PgBouncer is not installed (apt-get install pgbouncer)")
    port = free_port()
    # Not in the test's own folder, which is closed to whom root gives way to.
    folder = server.socket
    file = folder / "pgbouncer.ini"
    file.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = {POOL}\nmax_client_conn = 100\n"
    )
    file.chmod(0o644)
    as_user = {}
    if os.geteuid() == 0:
        user = next(entry for name in ("postgres", "nobody") for entry in pwd.getpwall() if entry.pw_name == name)
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    # auth_type = any logs everybody in as one user, who is named with the database.
    file.write_text(file.read_text().replace(f"port={server.port}", f"port={server.port} user=postgres"))
    with (folder / "pgbouncer.log").open("wb") as words:
        process = subprocess.Popen([program, str(file)], stdout=words, stderr=words, cwd="/", **as_user)
    yield f"postgresql://postgres@127.0.0.1:{port}/outage"
    process.send_signal(signal.SIGINT)
    process.wait(20)


def test_workers_behind_it_do_all_they_do_without(own_yard: Yard, pooler: str, tmp_path: Path) -> None:
    workers = [
        own_yard.start("--concurrency", "2", options=OPTIONS, DATABASE_URL=f"{pooler}?prepare_threshold=")
        for _ in range(3)
    ]
    for worker in workers:
        worker.wait_registered()
    calls = [((4,), {})] * RUNS
    runs = intake.enqueue_many(tasks.counts, calls, using="default", backend_alias="default")
    limited = [tasks.naps.using(concurrency_key="k", concurrency_limit=2).enqueue(0.01).run_id for _ in range(10)]
    wait_until(lambda: own_yard.times("plain") > RUNS // 2, f"the work goes on; {own_yard.story()}")
    victim = workers.pop()
    victim.send(signal.SIGKILL)
    own_yard.bury(victim)
    rows = wait_end(own_yard, *runs, *limited)

    assert Counter((row.status, row.attempts) for row in rows) == {(RunStatus.SUCCESSFUL, 0): len(rows)}
    assert set(Counter(Effect.objects.values_list("run_id", "name")).values()) == {1}
    assert all(worker.is_alive and "Traceback" not in worker.output for worker in workers), own_yard.story()
    oracle([*runs, *limited])
