"""The channels of a run: derived or given, one rule for both."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_tasks_durable import channel, export_snapshot, get_context, restore, spawn, task, testing
from django_tasks_durable.conf import RetentionPolicy
from django_tasks_durable.exceptions import InvalidChannel
from django_tasks_durable.models import RunChannel, TaskRun
from django_tasks_durable.primitives.channels import LONGEST_CHANNEL, MOST_CHANNELS
from django_tasks_durable.primitives.status import RunStatus, State
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.bootstrap import TaskQuery, aggregate, bootstrap, page
from django_tasks_durable.store import control, forks, retention, vendors
from tests.probe import tasks
from tests.store import acts

pytestmark = pytest.mark.django_db
USING = "default"
SCOPE = channel.scope("workspace:42")
ECHO = "tests.probe.tasks.echo"


@task
def two_parts() -> None:
    """Remember one step, for forks."""
    get_context().step("load", str, "page")


@task(channels=["topic:parents"])
def parent() -> None:
    """Start a child in a channel of its own."""
    spawn(tasks.echo.using(channels=[SCOPE]), 1)


def own(run_id: UUID) -> list[str]:
    """Read what stands in the side table."""
    return sorted(RunChannel.objects.filter(run_id=run_id).values_list("name", flat=True))


def found(*names: str, **query: Any) -> list[UUID]:
    """Look for runs by their channels."""
    return [run.id for run in page(TaskQuery(channels=names, **query), using=USING)]


@pytest.mark.seed("TR-26")
def test_each_helper_makes_the_name_of_a_channel() -> None:
    words = ("task", "kind", "topic", "resource", "correlation", "dedupe", "concurrency", "supersede", "scope")
    assert [getattr(channel, word)(" a:1 ") for word in words] == [f"{word}:a:1" for word in words]
    with pytest.raises(InvalidChannel, match="not blank"):
        channel.topic("  ")


@pytest.mark.seed("TR-26")
def test_a_run_is_in_the_channels_of_what_it_is_then_in_its_own_each_once() -> None:
    given = [" topic:mail ", SCOPE, "topic:mail", f"kind:{ECHO}"]
    run_id = acts.enqueue(dedupe_key="d", supersede_key="s", concurrency_key="c", channels=given)
    expected = (f"task:{run_id}", f"kind:{ECHO}", "dedupe:d", "concurrency:c", "supersede:s", "topic:mail", SCOPE)
    run = read.one(run_id, using=USING)
    assert run.channels == expected
    assert run.as_dict()["channels"] == list(expected)
    assert read.summaries(read.runs(using=USING))[0].channels == expected


@pytest.mark.seed("TR-26")
@pytest.mark.parametrize("name", ["task", "kind", "dedupe", "concurrency", "supersede", "given", "foreign kind"])
def test_a_run_is_found_by_every_channel_that_it_is_in(name: str) -> None:
    acts.enqueue(tasks.add, dedupe_key="other", channels=["topic:other"])
    own_channels = ["topic:mail", "kind:shop.of.others"]
    run_id = acts.enqueue(dedupe_key="d", supersede_key="s", concurrency_key="c", channels=own_channels)
    channels = {
        "task": channel.task(run_id),
        "kind": channel.kind(ECHO),
        "dedupe": channel.dedupe("d"),
        "concurrency": channel.concurrency("c"),
        "supersede": channel.supersede("s"),
        "given": "topic:mail",
        "foreign kind": channel.kind("shop.of.others"),
    }
    assert found(channels[name]) == [run_id]
    assert aggregate(TaskQuery(channels=[channels[name]]), using=USING).total == 1


def test_without_channels_nothing_is_written_beside_the_run() -> None:
    with CaptureQueriesContext(connection) as asked:
        acts.enqueue()
        acts.enqueue(dedupe_key="d")
    assert not [query for query in asked.captured_queries if "runchannel" in query["sql"]]
    assert not RunChannel.objects.exists()


@pytest.mark.seed("TR-27")
def test_fields_must_all_fit_channels_need_one_in_common_and_nothing_asked_is_nothing_filtered() -> None:
    mail = acts.enqueue(channels=["topic:mail", SCOPE])
    pay = acts.enqueue(tasks.add, channels=["topic:pay", SCOPE])
    bare = acts.enqueue()
    assert found("topic:mail", "topic:pay") == [pay, mail]
    assert found(SCOPE, task_paths=[ECHO]) == [mail]
    assert found(SCOPE, task_paths=[ECHO], states=[State.FAILED]) == []
    assert found("topic:nobody") == []
    assert found() == [bare, pay, mail]
    assert found(task_paths=[], states=[], queue_names=[], ids=[]) == [bare, pay, mail]


@pytest.mark.seed("TR-P2")
def test_a_bootstrap_is_of_the_runs_of_its_channels_whatever_these_come_from() -> None:
    deduped = acts.enqueue(dedupe_key="report:42")
    of_resource = acts.enqueue(channels=[channel.resource("report:42")])
    one_at_a_time = acts.enqueue(concurrency_key="report:42")
    acts.enqueue(dedupe_key="report:43", channels=[channel.resource("report:43")])

    words = (channel.dedupe, channel.concurrency, channel.resource)
    query = TaskQuery(channels=[word("report:42") for word in words])
    shown = bootstrap(query, using=USING, steps=5)
    assert [run.id for run in shown.runs] == [one_at_a_time, of_resource, deduped]
    assert shown.aggregate is not None
    assert shown.aggregate.total == 3
    both = TaskQuery(channels=[channel.resource("report:42")], task_paths=[ECHO])
    assert [run.id for run in page(both, using=USING)] == [of_resource]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("topic:mail", "give a list"),
        (42, "give a list"),
        ([42], "has to be a string"),
        (["mail"], "a word, a colon and a key"),
        (["topic: "], "a word, a colon and a key"),
        ([":mail"], "a word, a colon and a key"),
        (["topic:a\nb"], "printable"),
        (["topic:" + "x" * LONGEST_CHANNEL], "at most 200 characters"),
        ([f"topic:{number}" for number in range(MOST_CHANNELS + 1)], "at most 50 channels"),
    ],
)
def test_what_is_no_channel_is_refused_before_anything_is_written(given: Any, problem: str) -> None:
    with pytest.raises(InvalidChannel, match=problem):
        tasks.echo.using(channels=given)


def test_a_call_gives_other_channels_than_its_task_and_may_give_none() -> None:
    assert own(acts.enqueue(parent)) == ["topic:parents"]
    assert own(acts.enqueue(parent, channels=[SCOPE])) == [SCOPE]
    assert own(acts.enqueue(parent, channels=[])) == []


def test_many_runs_at_once_get_the_channels_of_their_call() -> None:
    results = tasks.echo.using(channels=[SCOPE, "topic:mail"]).enqueue_many([((n,), {}) for n in range(3)])
    assert {tuple(own(result.run_id)) for result in results} == {(SCOPE, "topic:mail")}


def test_a_child_has_the_channels_that_its_parent_says() -> None:
    run_id = acts.enqueue(parent)
    testing.drain()
    (child,) = TaskRun.objects.filter(parent_id=run_id)
    assert own(child.id) == [SCOPE]
    assert found(SCOPE) == [child.id]


def test_a_retry_changes_no_channel() -> None:
    run_id = acts.enqueue(channels=[SCOPE])
    control.cancel(run_id, using=USING)
    control.retry(run_id, using=USING)
    assert found(SCOPE) == [run_id]


@pytest.mark.parametrize("way", ["fork", "copy", "restore"])
def test_forks_copies_and_what_comes_from_elsewhere_keep_their_channels(way: str) -> None:
    run_id = acts.enqueue(two_parts, channels=[SCOPE], dedupe_key="d")
    testing.drain()
    match way:
        case "fork":
            other = forks.fork(run_id, "step:load", using=USING)
        case "copy":
            other = forks.copy(run_id, using=USING)
        case _:
            other = restore(export_snapshot(run_id)).into_database()
    assert own(other) == [SCOPE]
    assert read.one(other, using=USING).channels == (f"task:{other}", channel.kind(two_parts.module_path), SCOPE)


def test_channels_go_with_their_run() -> None:
    kept, gone = acts.enqueue(channels=[SCOPE]), acts.enqueue(channels=[SCOPE])
    session = vendors.session(USING)
    TaskRun.objects.filter(pk=gone).update(
        status=RunStatus.SUCCESSFUL, finished_at=session.now_at() - timedelta(days=2)
    )
    retention.prune(session, RetentionPolicy(successful=86_400))
    assert list(RunChannel.objects.values_list("run_id", flat=True)) == [kept]
    TaskRun.objects.get(pk=kept).delete()
    assert not RunChannel.objects.exists()


@pytest.mark.parametrize("number", [1, 50])
def test_looking_by_channel_takes_the_same_queries_however_many_there_are(
    number: int, django_assert_num_queries: Any
) -> None:
    for _ in range(number):
        acts.enqueue(channels=[SCOPE, "topic:mail"], dedupe_key=None)
    with django_assert_num_queries(1):
        assert len(page(TaskQuery(channels=[SCOPE]), using=USING)) == number
    with django_assert_num_queries(3):
        bootstrap(TaskQuery(channels=[SCOPE, channel.kind(ECHO)]), using=USING, steps=3).as_dict()


def test_the_command_lists_a_channel() -> None:
    run_id = acts.enqueue(channels=[SCOPE])
    acts.enqueue()
    out = StringIO()
    call_command("tasks", "list", "--channel", SCOPE, stdout=out)
    assert run_id.hex[-8:] in out.getvalue()
    assert len(out.getvalue().strip().splitlines()) == 2


def test_names_differ_by_case_everywhere() -> None:
    runs = {name: acts.enqueue(channels=[name]) for name in ("topic:Mail", "topic:mail")}
    for name, run_id in runs.items():
        assert found(name) == [run_id]
