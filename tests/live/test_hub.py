"""The hub: it misses nothing, says when it cannot hear, and reads once for all."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from django_tasks_durable.live import consumers, hub, layers, subscription, tail
from django_tasks_durable.live.tracker import Tracker
from django_tasks_durable.models import Step, TaskRun
from django_tasks_durable.primitives.status import RunStatus, StepKind
from django_tasks_durable.snapshots import health
from django_tasks_durable.snapshots.hubs import HubStatus
from tests.doors.rows import AT, a_run, later

from .client import Client, assert_equals_the_database, change, write

Connect = Callable[..., Any]
awrite, achange, a_run_a = (sync_to_async(each) for each in (write, change, a_run))
same = sync_to_async(assert_equals_the_database)
BURST = 500


def options(**given: Any) -> dict[str, Any]:
    """Make TASKS with these options."""
    return {"default": {"BACKEND": "django_tasks_durable.DurableBackend", "OPTIONS": given}}


async def status_when(is_so: Callable[[HubStatus], bool]) -> HubStatus:
    """Wait until the hub of this loop stands so."""
    for _ in range(750):
        found = hub.hub().status
        if is_so(found):
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(found)


async def follow_to_the_end(client: Client, tracker: Tracker) -> list[int]:
    """Hear a client out until its run has ended; return the sequences in the order in which they were told."""
    told = await client.subscribe(after=tracker.positions)
    tracker.apply(told)
    (run_id,) = tracker.tracked
    sequences = [line["sequence"] for line in told["runs"][0]["timeline"]]
    while tracker.tracked[run_id].task["state"] != "succeeded":
        told = await client.next()
        tracker.apply(told)
        if told["type"] == "step":
            sequences.append(told["step"]["sequence"])
    return sequences


def burst(run_id: Any, begun: threading.Event) -> None:
    """Write many lines, a commit each, and then the end."""
    for number in range(BURST - 1):
        write(run_id, StepKind.PARTIAL)
        if number == BURST // 10:
            begun.set()
    write(run_id, StepKind.SUCCEEDED, status=RunStatus.SUCCESSFUL, finished_at=later(9))
    connection.close()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a Redis of our own, which may be killed."""
    pytest.importorskip("channels_redis")
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("there is no redis-server here")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [server, "--port", str(port), "--save", "", "--dir", str(tmp_path)], stdout=subprocess.DEVNULL
    )
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        threading.Event().wait(0.02)
    yield f"redis://127.0.0.1:{port}/0", process
    process.kill()
    process.wait()


@pytest.fixture
def layered(redis: tuple[str, subprocess.Popen[bytes]], settings: Any) -> subprocess.Popen[bytes]:
    """Let hints come by the channel layer alone; between them the hub would look after minutes only."""
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [redis[0]]}}
    }
    settings.TASKS = options(listen=False, poll_seconds=0.2)
    return redis[1]


@pytest.mark.seed("TR-30", "TR-31")
async def test_who_comes_in_the_middle_of_a_burst_sees_each_line_once(clients: Connect, operator: User) -> None:
    run = await a_run_a(status=RunStatus.RUNNING, started_at=later(1))
    begun = threading.Event()
    writing = asyncio.get_running_loop().run_in_executor(None, burst, run.pk, begun)
    await asyncio.get_running_loop().run_in_executor(None, begun.wait, 30)
    client, tracker = await clients(operator), Tracker()
    tracker.apply({"type": "bootstrap", "runs": [{"id": str(run.pk), "version": 0, "last_sequence": 0}]})
    sequences = await follow_to_the_end(client, tracker)
    await writing
    assert sequences == list(range(1, BURST + 2))
    await same(tracker, run.pk)


@pytest.mark.fault("F26")
@pytest.mark.slow
async def test_a_burst_during_which_the_channel_layer_dies_is_told_whole(
    layered: subprocess.Popen[bytes], clients: Connect, operator: User
) -> None:
    run = await a_run_a(status=RunStatus.RUNNING, started_at=later(1))
    begun = threading.Event()
    early = await clients(operator)
    await early.subscribe()
    assert (await status_when(lambda now: now.mode == "layer" and not now.is_degraded)).error == ""
    writing = asyncio.get_running_loop().run_in_executor(None, burst, run.pk, begun)
    await asyncio.get_running_loop().run_in_executor(None, begun.wait, 30)
    layered.kill()
    client, tracker = await clients(operator), Tracker()
    tracker.apply({"type": "bootstrap", "runs": [{"id": str(run.pk), "version": 0, "last_sequence": 0}]})
    sequences = await follow_to_the_end(client, tracker)
    await writing
    assert sequences == list(range(1, BURST + 2))
    await same(tracker, run.pk)
    assert (await status_when(lambda now: now.is_degraded)).mode == "poll"


@pytest.mark.slow
async def test_a_consumer_of_the_projects_own_hears_by_the_layer(
    layered: subprocess.Popen[bytes], operator: User, settings: Any
) -> None:
    run = await a_run_a()
    layer = layers.reaching()
    assert layer is not None
    channel = await layer.new_channel()
    await layer.group_add(layers.group_of(run.pk), channel)
    await awrite((await a_run_a()).pk)
    await awrite(run.pk)
    heard = await asyncio.wait_for(layer.receive(channel), 10)
    assert heard == {"type": "durable.changed", "task_ids": [str(run.pk)]}


@pytest.mark.databases("postgresql")
async def test_a_lost_listener_is_seen_polls_and_listens_again(
    clients: Connect, operator: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TASKS = options(poll_seconds=0.05)
    run = await a_run_a()
    client, tracker = await clients(operator), Tracker()
    tracker.apply(await client.subscribe())
    await status_when(lambda now: now.mode == "listen" and not now.is_degraded)

    released = threading.Event()
    from django_tasks_durable.store.vendors import listening

    whole = listening.PostgresHints.wait

    def wait(hints: Any, stopping: threading.Event) -> Any:
        released.wait(20)
        return whole(hints, stopping)

    monkeypatch.setattr(listening.PostgresHints, "wait", wait)
    await sync_to_async(cut_listeners)()
    status = await status_when(lambda now: now.is_degraded)
    assert (status.mode, bool(status.error)) == ("poll", True)
    found = await sync_to_async(health.diagnose)(using="default", known=[])
    assert [finding.code for finding in found if "polling" in finding.message] == ["LIVE_DEGRADED"]
    await awrite(run.pk)  # heard by polling
    tracker.apply(await client.hear("step"))
    released.set()
    assert (await status_when(lambda now: not now.is_degraded)).mode == "listen"
    await awrite(run.pk)
    for told in await client.hear_until(lambda told: told["type"] == "changed" and told["task"]["version"] == 3):
        tracker.apply(told)
    assert tracker.positions == {str(run.pk): 3}


def cut_listeners() -> None:
    """End the connections that listen for runs."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            # What a listener asks last: for what it hears, and whether it hears at all.
            "WHERE datname = current_database() AND query IN ('LISTEN dtd_runs', 'SELECT pg_backend_pid()', 'SELECT 1')"
            " AND pid <> pg_backend_pid()"
        )
        assert cursor.fetchall(), "nobody listens"


@pytest.mark.databases("postgresql")
async def test_a_line_that_is_committed_late_is_seen_by_a_polling_hub(
    clients: Connect, operator: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TASKS = options(listen=False, poll_seconds=0.02)
    # As if more runs were open than a look compares: what is left to see it by is the line.
    monkeypatch.setattr(tail.Tail, "_checked", lambda tail, ids, is_broad: [])
    early, late = await a_run_a(), await a_run_a()
    client = await clients(operator)
    await client.subscribe(limit=10)
    inside, go_on = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with transaction.atomic():
            TaskRun.objects.filter(pk=late.pk).update(last_sequence=2)
            Step.objects.create(run_id=late.pk, sequence=2, kind=StepKind.LOG, created_at=AT)
            inside.set()
            go_on.wait(20)
        connection.close()

    writing = asyncio.get_running_loop().run_in_executor(None, write_slowly)
    await asyncio.get_running_loop().run_in_executor(None, inside.wait, 20)
    await awrite(early.pk)  # its id is higher, and visible first
    assert (await client.hear("step"))["task_id"] == str(early.pk)
    go_on.set()
    assert (await client.hear("step"))["task_id"] == str(late.pk)
    await writing


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the statements of the hub's threads."""
    found: Counter[str] = Counter()
    execute = CursorWrapper.execute

    def counted(cursor: Any, sql: Any, params: Any = None) -> Any:
        found[threading.current_thread().name] += not str(sql).startswith(("PRAGMA", "SET"))
        return execute(cursor, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", counted)
    return found


# Elsewhere a hub looks by the clock, whether or not there is an event.
@pytest.mark.databases("postgresql", "sqlite")
async def test_the_queries_of_an_event_do_not_grow_with_the_clients(
    clients: Connect, operator: User, user_with: Callable[..., User], asked: Counter[str], settings: Any
) -> None:
    settings.TASKS = options(poll_seconds=600, sockets_per_user=100)
    run = await a_run_a()
    other = await sync_to_async(user_with)("view_taskrun", "view_payload", name="otto")

    async def cost(listeners: list[Client]) -> int:
        before = sum(asked.values())
        told_by = asked["dtd-live-tail"]
        await awrite(run.pk)
        for each in listeners:
            await each.hear("changed")
        assert asked["dtd-live-read"] == read_before, "a client was read for"
        assert before <= sum(asked.values())
        return asked["dtd-live-tail"] - told_by

    first = await clients(operator)
    await first.subscribe()
    read_before = asked["dtd-live-read"]
    alone = min([await cost([first]) for _ in range(3)])
    crowd = [first]
    for number in range(49):
        client = await clients((operator, other)[number % 2])
        await client.subscribe(**({"query": {"ids": [str(run.pk)]}} if number % 3 else {}))
        crowd.append(client)
    read_before = asked["dtd-live-read"]
    together = min([await cost(crowd) for _ in range(3)])
    assert 0 < together <= alone, (alone, together)


@pytest.mark.fault("F25")
@pytest.mark.parametrize("count", [30, pytest.param(1000, marks=pytest.mark.nightly)])
async def test_a_storm_of_clients_that_want_the_same_reads_it_a_few_times(
    clients: Connect, operator: User, asked: Counter[str], settings: Any, count: int
) -> None:
    settings.TASKS = options(sockets_per_user=2000)
    await a_run_a()
    storm = [await clients(operator) for _ in range(count)]
    before = asked["dtd-live-read"]
    for client in storm:
        await client.say("subscribe")
    for client in storm:
        await client.hear("bootstrap")
    assert asked["dtd-live-read"] - before < count * 2


@pytest.mark.fault("F24")
async def test_a_client_that_does_not_read_is_dropped_and_disturbs_nobody(
    clients: Connect, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "WINDOW_BYTES", 20_000)
    monkeypatch.setattr(consumers, "PING_BYTES", 5_000)
    monkeypatch.setattr(subscription, "QUEUE", 5)
    run = await a_run_a()
    deaf, other = await clients(operator), await clients(operator)
    tracker = Tracker()
    for client in (deaf, other):
        await client.subscribe(query={"ids": [str(run.pk)]})
    for _number in range(40):
        await awrite(run.pk, count=5)
        # Or several writes would be one piece of news, and too few to overflow anything.
        await other.hear_until(lambda told: told["type"] == "changed")
    # Nothing more is on its way than the window holds, whatever was written.
    assert deaf.wire.output_queue.qsize() < 120
    tracker.apply({"type": "bootstrap", "runs": [{"id": str(run.pk), "version": 0, "last_sequence": 1}]})
    deaf.heard.clear()
    await deaf.hear("resync")
    for told in deaf.heard:
        assert tracker.apply(told) or told["type"] == "resync"
    while tracker.positions[str(run.pk)] < 201:
        assert tracker.apply(await deaf.next()) or deaf.heard[-1]["type"] in ("resync", "changed")
    assert not tracker.needs_resync
    assert [line["sequence"] for line in tracker.steps(str(run.pk))] == list(range(2, 202))


async def test_a_ping_that_nobody_answers_ends_the_socket(
    clients: Connect, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "PING_SECONDS", 0.05)
    monkeypatch.setattr(consumers, "SILENT_SECONDS", 0.3)
    client = await clients(operator)
    client.answers_pings = False
    assert await client.hear_close() == 4408


async def test_too_much_to_tell_begins_again(clients: Connect, operator: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "BACKLOG", 3)
    client, tracker = await clients(operator), Tracker()
    tracker.apply(await client.subscribe())

    def many() -> None:
        with transaction.atomic():
            for _ in range(30):
                write(a_run().pk)

    await sync_to_async(many)()
    assert (await client.hear("resync"))["reason"] == "database"
    tracker.apply(await client.hear("bootstrap"))
    assert len(tracker.tracked) == 30
