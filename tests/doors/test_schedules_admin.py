"""Schedules in the admin: what the list shows, what may be edited and by whom, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from django_tasks_durable import testing
from django_tasks_durable.models import Schedule, TaskRun, Tick
from django_tasks_durable.store import ticks
from tests.probe import tasks

from .clients import HOSTILE, said, somebody, text_of
from .rows import a_failed_run

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
LIST = "admin:durable_tasks_schedule_changelist"
ADD = "admin:durable_tasks_schedule_add"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def noon() -> Any:
    """Let it be noon."""
    with testing.frozen(NOON) as moment:
        yield moment


def a_schedule(name: str = "hourly", **columns: Any) -> Schedule:
    """Write a schedule of an hour that is due."""
    values = {"task_path": tasks.echo.module_path, "cron": "0 * * * *", "next_at": NOON, **columns}
    return Schedule.objects.create(name=name, **values)


def page_of(row: Schedule) -> str:
    """Return the address of a schedule's page."""
    return reverse("admin:durable_tasks_schedule_change", args=[row.pk])


def written(**values: Any) -> dict[str, Any]:
    """Return what the form of a new schedule posts."""
    return {
        "name": "mine", "task_path": tasks.echo.module_path, "cron": "0 6 * * *", "interval_seconds": "",
        "time_zone": "Europe/Paris", "dst": "auto", "args": "[1]", "kwargs": "{}", "queue_name": "", "priority": "",
        "missed": "latest", "overlap": "allow", "jitter_seconds": "0", **values,
    }  # fmt: skip


def act(client: Client, name: str, *rows: Schedule) -> Any:
    """Choose an action of the list."""
    chosen = {"action": name, "_selected_action": [str(row.pk) for row in rows]}
    return client.post(reverse(LIST), chosen, follow=True)


def test_the_list_tells_in_words_when_each_ticks_and_links_to_its_last_run(root: Client) -> None:
    row = a_schedule()
    ticks.fire(row.pk, using="default")
    a_schedule("paused one", paused=True)
    a_schedule("broken one", next_at=None)
    shown = text_of(root.get(reverse(LIST)))
    for word in ("At the start of every hour", "Paused", "Broken", "Enqueued", "2030-01-01T13:00:00"):
        assert word in shown, word
    assert reverse("admin:durable_tasks_taskrun_change", args=[TaskRun.objects.get().pk]) in shown


def test_the_last_ticks_are_drawn_with_what_became_of_them(root: Client) -> None:
    a_schedule("hourly")
    for hours in (1, 2, 30):
        run = a_failed_run(started_at=NOON, finished_at=NOON + timedelta(seconds=hours))
        Tick.objects.create(
            schedule="hourly", tick=NOON - timedelta(hours=hours), run_id=run.pk, outcome="enqueued", created_at=NOON
        )
    Tick.objects.create(schedule="hourly", tick=NOON, outcome="skipped", created_at=NOON)
    shown = text_of(root.get(reverse(LIST)))
    assert "The last 3 ticks, of which 2 failed" in shown
    assert "10:00: Failed, 2.0 s" in shown
    assert 'data-ended="skipped"' in shown


@pytest.mark.parametrize("number", [1, 30])
def test_the_list_takes_the_same_number_of_queries(root: Client, number: int, django_assert_num_queries: Any) -> None:
    for place in range(number):
        a_schedule(f"s{place}")
    with django_assert_num_queries(5):
        root.get(reverse(LIST))


def test_a_schedule_is_written_and_ticks_from_now_on(root: Client) -> None:
    assert root.post(reverse(ADD), written()).status_code == 302
    row = Schedule.objects.get()
    assert (row.name, row.source, row.next_at) == ("mine", "row", datetime(2030, 1, 2, 5, tzinfo=UTC))

    changed = written(cron="0 7 * * *")
    del changed["name"]
    assert root.post(page_of(row), changed).status_code == 302
    row.refresh_from_db()
    assert (row.name, row.next_at) == ("mine", datetime(2030, 1, 2, 6, tzinfo=UTC))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"cron": "0 0 30 2 *"}, "Bad day-of-month"),
        ({"cron": "", "interval_seconds": "0"}, "Give whole seconds"),
        ({"time_zone": "Mars/Olympus"}, "There is no such time zone"),
        ({"missed": "some"}, "Select a valid choice"),
        ({"task_path": "nobody.knows"}, "Select a valid choice"),
        ({"args": "{}"}, "A JSON list"),
        ({"args": "[1, 2, 3]"}, "The task does not take these"),
        ({"kwargs": "nonsense"}, "This is not JSON"),
        ({"priority": "1000"}, "less than or equal to 100"),
    ],
)
def test_what_cannot_be_kept_is_said_beside_its_field(root: Client, values: dict[str, str], complaint: str) -> None:
    assert complaint in text_of(root.post(reverse(ADD), written(**values)))
    assert not Schedule.objects.exists()


def test_a_schedule_of_the_code_is_looked_at_and_paused_but_never_edited(root: Client) -> None:
    row = a_schedule(source="code", args='[{"password": "sesame"}]')
    shown = text_of(root.get(page_of(row)))
    assert "sesame" not in shown
    assert 'name="cron"' not in shown
    assert root.post(page_of(row), written()).status_code == 403
    assert root.post(reverse("admin:durable_tasks_schedule_delete", args=[row.pk]), {"post": "yes"}).status_code == 403

    assert said(act(root, "pause_schedules", row)) == ["1 paused."]
    assert Schedule.objects.get().paused
    assert said(act(root, "unpause_schedules", row)) == ["1 unpaused."]
    assert [entry.change_message for entry in LogEntry.objects.order_by("id")] == [
        "Paused the schedule.",
        "Unpaused the schedule.",
    ]


def test_several_are_deleted_at_once_unless_one_is_of_the_code(root: Client) -> None:
    rows = [a_schedule("a"), a_schedule("b"), a_schedule("c", source="code")]
    for chosen, left in ((rows, 3), (rows[:2], 1)):
        ids = [str(row.pk) for row in chosen]
        root.post(reverse(LIST), {"action": "delete_selected", "_selected_action": ids, "post": "yes"})
        assert Schedule.objects.count() == left


def test_what_has_left_the_code_may_be_deleted(root: Client) -> None:
    row = a_schedule(source="code", vanished_at=NOON)
    assert root.post(reverse("admin:durable_tasks_schedule_delete", args=[row.pk]), {"post": "yes"}).status_code == 302
    assert not Schedule.objects.exists()


def test_run_now_enqueues_each_and_says_what_was_refused(root: Client) -> None:
    answer = act(root, "run_schedules_now", a_schedule(), a_schedule("lost", task_path="nobody.knows"))
    assert sorted(said(answer))[0] == "1 enqueued."
    assert any("nobody.knows" in message for message in said(answer))
    assert TaskRun.objects.count() == 1


def test_who_may_only_look_sees_no_arguments_and_has_no_acts() -> None:
    row = a_schedule(args='["private"]')
    client = somebody("anna", "view_schedule")
    assert "private" not in text_of(client.get(page_of(row)))
    assert "pause_schedules" not in text_of(client.get(reverse(LIST)))
    assert client.post(page_of(row), written()).status_code == 403
    assert client.get(reverse(ADD)).status_code == 403
    act(client, "pause_schedules", row)
    assert not Schedule.objects.get().paused


def test_who_may_change_a_schedule_but_see_no_payloads_changes_all_but_its_arguments() -> None:
    row = a_schedule(args='["private"]')
    client = somebody("anna", "view_schedule", "change_schedule")
    assert "private" not in text_of(client.get(page_of(row)))
    assert client.post(page_of(row), written(cron="5 * * * *")).status_code == 302
    row.refresh_from_db()
    assert (row.cron, row.args) == ("5 * * * *", '["private"]')


def test_a_stranger_sees_nothing() -> None:
    row = a_schedule()
    client = somebody("eve")
    assert client.get(reverse(LIST)).status_code == 403
    assert client.get(page_of(row)).status_code == 403


def test_hostile_text_stays_text(root: Client) -> None:
    row = a_schedule(HOSTILE[:200], task_path=HOSTILE[:200], source="code", cron=HOSTILE[:60])
    for address in (reverse(LIST), page_of(row)):
        shown = text_of(root.get(address))
        assert "<script>alert" not in shown
        assert "<img src=x" not in shown
