"""How long the admin's pages take beside a great many runs."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import NOT_PROVIDED
from django.test import Client
from django.test.utils import setup_test_environment
from django.urls import reverse

from django_tasks_durable.models import Rollup, RollupCursor, Step, TaskRun, Wait, Worker
from django_tasks_durable.store import vendors
from tests.benchmarks import scratch

TASKS, QUEUES, DAYS = 50, 10, 7
RARE = "shop.tasks.rare"
# What each run is, by its number: mostly what has ended well, as in a house that works.
STATUS = (
    "CASE WHEN i % 50 = 1 THEN 'FAILED' WHEN i % 200 = 2 THEN 'CANCELLED' WHEN i % 100 = 3 THEN 'WAITING' "
    "WHEN i % 400 = 4 THEN 'READY' WHEN i % 5000 = 5 THEN 'RUNNING' ELSE 'SUCCESSFUL' END"
)
BEGAN = f"now() - (n - i) * interval '{DAYS} days' / n"
HEX = "lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')"
ERRORS = json.dumps([{"exception_class_path": "builtins.ValueError", "message": "no money", "attempt": 1}])


def measure(*, runs: int, repeat: int, most_ms: float) -> int:
    """Fill a database, open each page some times, print the figures. Return 0 when each median is within the bound."""
    setup_test_environment(debug=False)
    with scratch.database():
        started = time.perf_counter()
        _fill(runs)
        print(f"{runs:,} runs were written in {time.perf_counter() - started:.0f} s.", flush=True)
        return _open_all(repeat, most_ms)


def _open_all(repeat: int, most_ms: float) -> int:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    slow = []
    for name, address in _pages().items():
        took, worked = zip(*sorted(_milliseconds(client, address) for _number in range(repeat)), strict=True)
        median = statistics.median(took)
        slow += [name] if median > most_ms else []
        told = f"{median:7.0f} ms at the median, {took[0]:7.0f} at best, {took[-1]:7.0f} at most"
        told += f"; {statistics.median(worked):5.0f} ms of this process"
        print(f"{name:34} {told}", flush=True)
    print(f"Slower than {most_ms:.0f} ms: {', '.join(slow)}" if slow else f"All within {most_ms:.0f} ms.", flush=True)
    return int(bool(slow))


def _pages() -> dict[str, str]:
    tasks = reverse("admin:durable_tasks_taskrun_changelist")
    newest = TaskRun.objects.order_by("-id").values_list("pk", flat=True)[0]
    failed = TaskRun.objects.filter(status="FAILED").order_by("-id").values_list("pk", flat=True)[0]
    return {
        "overview": reverse("admin:durable_tasks_taskrun_overview"),
        "list": tasks,
        "list, page 100": f"{tasks}?p=100",
        "filter: failed": f"{tasks}?state=failed",
        "filter: queued": f"{tasks}?state=queued",
        "filter: waiting": f"{tasks}?state=waiting",
        "filter: succeeded": f"{tasks}?state=succeeded",
        "filter: a queue": f"{tasks}?queue_name=queue-3",
        "filter: a task": f"{tasks}?task_path=shop.tasks.task_7",
        "filter: a rare task": f"{tasks}?task_path={RARE}",
        "filter: failed by a rare task": f"{tasks}?state=failed&task_path={RARE}",
        "filter: failed in the last hour": f"{tasks}?state=failed&ended=1h&task_path=shop.tasks.task_1",
        "filter: failed with an exception": f"{tasks}?state=failed&ended=24h&exception=builtins.ValueError",
        "filter: ended in the last hour": f"{tasks}?ended=1h",
        "search: an id": f"{tasks}?q={newest}",
        "search: the end of an id": f"{tasks}?q={newest.hex[-8:]}",
        "search: the beginning of a path": f"{tasks}?q=shop.tasks.task_1",
        "search: a rare path": f"{tasks}?q=shop.tasks.ra",
        "search: nothing": f"{tasks}?q=nothing.like.that",
        "inbox": reverse("admin:durable_tasks_taskrun_inbox"),
        "queues": reverse("admin:durable_tasks_queue_changelist"),
        "workers": reverse("admin:durable_tasks_worker_changelist"),
        "a task": reverse("admin:durable_tasks_taskrun_change", args=[failed]),
    }


def _milliseconds(client: Client, address: str) -> tuple[float, float]:
    """Open a page. Return how long it took by the clock, and how long this process worked at it."""
    started, began = time.perf_counter(), time.process_time()
    response = client.get(address)
    took, worked = time.perf_counter() - started, time.process_time() - began
    assert response.status_code == 200, (address, response.status_code)
    return took * 1000, worked * 1000


def _fill(runs: int) -> None:
    now = vendors.session().now_at()
    Worker.objects.bulk_create(
        Worker(id=f"worker-{number}", host="host", pid=number, started_at=now, heartbeat_at=now, lease_seconds=86_400)
        for number in range(20)
    )
    ended = "status IN ('SUCCESSFUL', 'FAILED', 'CANCELLED')"
    _insert(
        TaskRun,
        {
            "id": f"({HEX} || '7' || substr(md5(i::text), 1, 3) || '8' || substr(md5(i::text), 4, 15))::uuid",
            "task_path": f"CASE WHEN i % 100000 = 1 THEN '{RARE}' ELSE 'shop.tasks.task_' || i % {TASKS} END",
            "queue_name": f"'queue-' || i % {QUEUES}",
            "status": "status",
            "enqueued_at": "at",
            "due_at": "CASE WHEN status = 'READY' THEN at END",
            "started_at": "CASE WHEN status <> 'READY' THEN at + interval '1 second' END",
            "finished_at": f"CASE WHEN {ended} THEN at + interval '3 seconds' END",
            "lease_worker": "CASE WHEN status <> 'READY' THEN 'worker-' || i % 20 ELSE '' END",
            "errors": f"CASE WHEN status = 'FAILED' THEN '{ERRORS}' ELSE '[]' END",
            "args": "'[' || i || ']'",
            "last_sequence": "1",
        },
        f"(SELECT i, n, {STATUS} AS status, {BEGAN} AS at FROM generate_series(1, {runs}) i, (SELECT {runs} AS n) AS o) AS o",
    )
    columns = {"run_id": "id", "sequence": "1", "kind": "'enqueued'", "created_at": "enqueued_at"}
    _insert(Step, columns, TaskRun._meta.db_table)
    waiting = f"{TaskRun._meta.db_table} WHERE status = 'WAITING'"
    wait = {"path": "'wait:1'", "kind": "'interrupt'", "position": "0", "token": "replace(id::text, '-', '')"}
    _insert(Wait, {"run_id": "id", "request": "'\"Go on?\"'", "created_at": "enqueued_at", **wait}, waiting)
    _fill_rollups()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _fill_rollups() -> None:
    RollupCursor.objects.update_or_create(pk=1, defaults={"step_id": 0})
    counts = {
        "task_path": f"'shop.tasks.task_' || i % {TASKS}",
        "queue_name": f"'queue-' || i % {QUEUES}",
        "started": "100", "succeeded": "97", "failed": "3",
        "waits": "'{\"3\": 60, \"9\": 40}'", "durations": "'{\"12\": 70, \"20\": 30}'",
        "failures": "'{\"builtins.ValueError\": 2, \"builtins.KeyError\": 1}'",
    }  # fmt: skip
    for grain, unit, size in ((60, "minute", 60), (3600, "hour", 24 * DAYS)):
        begins_at = f"date_trunc('{unit}', now()) - (i / {TASKS}) * interval '1 {unit}'"
        source = f"generate_series(0, {size * TASKS - 1}) i"
        _insert(Rollup, {**counts, "grain": str(grain), "begins_at": begins_at}, source)


def _insert(model: Any, columns: dict[str, str], source: str) -> None:
    """Insert a row for each of a source, with the model's defaults where nothing is said."""
    fields = [
        field
        for field in model._meta.concrete_fields
        if field.attname in columns or (field.attname != "id" and field.db_default is NOT_PROVIDED)
    ]
    said = [(columns.get(field.attname), field.get_default()) for field in fields]
    values = ", ".join(expression or "%s" for expression, _default in said)
    names = ", ".join(f'"{field.column}"' for field in fields)
    with connection.cursor() as cursor:
        # An expression may hold the sign of a remainder, which the driver would take for a parameter.
        sql = f"INSERT INTO {model._meta.db_table} ({names}) SELECT {values} FROM {source}"
        escaped = sql.replace("%", "%%").replace("%%s", "%s")
        cursor.execute(escaped, [default for expression, default in said if expression is None])
