"""Measure this project beside others of its kind, in one run on one server: `python -m tests.benchmarks.peers`.

Each peer is installed from the package index into an environment of its own, and measured by its driver in `drivers/`. PostgreSQL
comes as a wheel, with fsync on; Celery needs `redis-server`. A peer that cannot be measured is named with the reason, and the
exit code says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from tests import embedded_postgres
from tests.benchmarks import ending
from tests.benchmarks.peers import measuring, page
from tests.benchmarks.peers.peers import PEERS, Peer

OURS = (
    "async tasks on one event loop, one process of `runtasks` as it comes, measured by `benchtasks`; steps of one run on a thread, "
    "of 200 runs on the loop; done runs are kept with their timeline; every write is fenced"
)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write the page if asked for. Return 1 when a peer failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__, allow_abbrev=False)
    parser.add_argument("--only", action="append", choices=[peer.driver for peer in PEERS], help="only this peer")
    parser.add_argument("--environments", type=Path, help="keep the environments in this folder, for the next run")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table as a page")
    parser.add_argument("--scale", type=float, default=1.0, help="shorten (0.1) or lengthen everything; a page says so")
    parser.add_argument("--json", action="store_true", help="print one JSON object in the end")
    options = parser.parse_args(arguments)
    ending.end_on_sigterm()
    chosen = [peer for peer in PEERS if not options.only or peer.driver in options.only]
    load = os.getloadavg()[0]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peers-")))
        environments = (options.environments or folder / "environments").resolve()
        environments.mkdir(parents=True, exist_ok=True)
        pythons, failed = {}, {}
        for peer in chosen:
            print(f"{peer.name}: its environment ...", file=sys.stderr, flush=True)
            try:
                pythons[peer] = measuring.environment(peer, environments)
            except (measuring.Failed, subprocess.SubprocessError) as error:
                failed[peer.name] = str(error)
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = int(found.getsockname()[1])
        server = stack.enter_context(embedded_postgres.Server(durable=True, port=port))
        ours = _ours(server.url(), options.scale)
        peers = {}
        for peer, python in pythons.items():
            print(f"{peer.name} ...", file=sys.stderr, flush=True)
            try:
                peers[peer.name] = _measured(peer, python, server.url(), folder, options.scale)
            except (measuring.Failed, subprocess.SubprocessError, psycopg.Error) as error:
                failed[peer.name] = str(error)
        notes = {peer.name: f"{measuring.versions(pythons[peer], peer)}: {peer.how}" for peer in pythons}
    notes = {"django-tasks-durable": OURS, **notes}
    told = page.page(_machine(ours, load, options.scale), ours["flat"], peers, notes)
    if options.write:
        options.write.write_text(told)
    print(json.dumps({"ours": ours, "peers": peers, "failed": failed}) if options.json else told)
    for name, reason in failed.items():
        print(f"Not measured: {name}: {reason}", file=sys.stderr)
    return int(bool(failed))


def _ours(url: str, scale: float) -> dict[str, Any]:
    """Measure this project with its own instrument."""
    print("django-tasks-durable ...", file=sys.stderr, flush=True)
    command = [sys.executable, "manage.py", "benchtasks", "--json", "--only"]
    command += ["enqueue,enqueue_many,drain,pickup,steps,resume,growth"]
    command += ["--scale", str(scale)]
    done = subprocess.run(
        command,
        cwd=measuring.ROOT,
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"benchtasks ended with {done.returncode}:\n{done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    told["flat"] = {
        **{key: told[key] for key in ("enqueue_per_s", "enqueue_many_per_s", "pickup_ms", "steps_per_s")},
        "drain_per_s": told["drain_per_s"]["async"],
        "resume_ms": told["resume_ms"],
        "growth": {key: told["ratio"][f"growth_{key}"] for key in ("finished_1m", "future_100k")},
    }
    return told


def _measured(peer: Peer, python: Path, server_url: str, folder: Path, scale: float) -> dict[str, Any]:
    place = folder / peer.driver
    place.mkdir()
    with ExitStack() as stack:
        url = ""
        if peer.server == "postgresql":
            url = stack.enter_context(measuring.database(server_url, f"peer_{peer.driver}"))
        elif peer.server == "redis":
            url = stack.enter_context(measuring.redis(place))
        return measuring.Trial(peer, python, url, place, scale).figures()


def _machine(ours: dict[str, Any], before: float, scale: float) -> str:
    limit = ours["limit"]
    shortened = f"**Every count was {scale:g} of what the tables say.** " if scale != 1 else ""
    return (
        f"{shortened}"
        f"{datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, PostgreSQL {ours['database']['version']}, Python "
        f"{platform.python_version()}, a load of {before:.1f} before the run and {os.getloadavg()[0]:.1f} at its end. "
        f"What this PostgreSQL reaches by itself: {limit['insert_commits_per_s']:,.0f} insert commits/s, "
        f"{limit['claim_complete_b500_per_s']:,.0f} claims and completions/s in batches of 500, "
        f"{limit['step_commits_per_s']:,.0f} step commits/s."
    )


if __name__ == "__main__":
    sys.exit(main())
