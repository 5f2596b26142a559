"""``manage.py tasks watch``: what somebody sees who keeps looking."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from django_tasks_durable.management.tasks import view
from django_tasks_durable.primitives.status import StepKind
from django_tasks_durable.primitives.writes import Append, Line, SetProgress, Started
from django_tasks_durable.snapshots import feed
from django_tasks_durable.store import control, vendors
from tests.store import acts

pytestmark = pytest.mark.django_db
USING = "default"


@pytest.fixture
def session(db: None) -> vendors.Session:
    """Speak to the test's database through Django's connection."""
    return vendors.session(USING)


class Screen(StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def watch(*arguments: str, out: StringIO | None = None) -> str:
    """Watch and return what was written."""
    out = out or StringIO()
    call_command("tasks", "watch", "--interval", "0.05", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def between_looks(monkeypatch: pytest.MonkeyPatch, *acts_: Callable[[], Any]) -> None:
    """Do something before the second look, before the third and so on."""
    left, look = [lambda: None, *acts_], view.Watcher.look

    def act_and_look(self: view.Watcher) -> view.Sight:
        left.pop(0)()
        return look(self)

    monkeypatch.setattr(view.Watcher, "look", act_and_look)


def running(session: vendors.Session, percent: float) -> Any:
    """Make a run that runs."""
    acts.register(session)
    acts.enqueue()
    (claimed,) = acts.claim(session)
    acts.hand_in(
        session,
        claimed,
        Started(lease=claimed.lease),
        SetProgress(lease=claimed.lease, percent=percent, label="page 1"),
    )
    return claimed


def test_a_picture_shows_counts_queues_bars_and_the_last_events(session: vendors.Session) -> None:
    claimed = running(session, 50)
    acts.enqueue(queue_name="slow")
    shown = watch("--count", "1", out=Screen())
    assert shown.startswith("\x1b[?1049h")
    assert shown.endswith("\x1b[?25h\x1b[?1049l")
    assert "running 1" in shown
    assert "slow" in shown
    assert f"[##########..........]  {claimed.run_id.hex[-8:]}  running  echo  50 % page 1" in shown
    assert "started  echo" in shown


def test_elsewhere_each_event_is_a_line_once_and_counts_are_told_when_they_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = acts.enqueue()
    between_looks(monkeypatch, lambda: None, lambda: control.cancel(run_id, using=USING, reason="enough"))
    lines = watch("--count", "3").splitlines()
    assert ["enqueued" in line for line in lines] == [True, False, False, False]
    assert lines[1].startswith("queued 1")
    assert "cancelled  echo" in lines[2]
    assert "enough" in lines[2]
    assert "cancelled 1" in lines[3]
    assert not any("\x1b" in line for line in lines)


def test_each_change_is_one_line_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    between_looks(monkeypatch, acts.enqueue, lambda: None)
    told = [json.loads(line) for line in watch("--count", "3", "--json").splitlines()]
    assert [next(iter(each)) for each in told] == ["overview", "entry", "overview"]
    assert told[1]["entry"]["type"] == "enqueued"
    assert told[2]["overview"]["counts"]["queued"] == 1
    assert told[2]["queues"][0]["due"] == 1


@pytest.mark.parametrize("way_out", [KeyboardInterrupt, BrokenPipeError])
def test_leaving_puts_the_screen_back_and_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, way_out: type[BaseException]
) -> None:
    def leave() -> None:
        raise way_out

    between_looks(monkeypatch, leave)
    assert watch(out=Screen()).endswith("\x1b[?1049l")


def test_a_database_that_is_away_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down() -> None:
        raise DatabaseError("gone")

    between_looks(monkeypatch, break_down)
    out = Screen()
    with pytest.raises(CommandError, match=r"The database 'default' does not answer: gone"):
        watch(out=out)
    assert out.getvalue().endswith("\x1b[?1049l")


@pytest.mark.parametrize("given", ["0", "-1", "nan", "soon"])
def test_no_pace_is_refused(given: str) -> None:
    with pytest.raises(CommandError, match="no number of seconds"):
        call_command("tasks", "watch", "--interval", given, stdout=StringIO())


def test_foreign_text_moves_no_cursor(session: vendors.Session) -> None:
    claimed = running(session, 5)
    acts.hand_in(session, claimed, acts.append(claimed.lease, "\x1b]0;owned\x07\nline two"))
    assert "\x1b" not in watch("--count", "1")
    assert "\x07" not in watch("--count", "1", out=Screen())


def test_secrets_stay_hidden(session: vendors.Session) -> None:
    claimed = running(session, 5)
    acts.hand_in(
        session, claimed, Append(lease=claimed.lease, line=Line(kind=StepKind.LOG, data='{"password":"hush"}'))
    )
    assert "hush" not in watch("--count", "1", "--json")


def test_a_look_takes_the_same_queries_at_one_run_and_at_fifty(session: vendors.Session) -> None:
    asked = []
    for number in (1, 49):
        for _ in range(number):
            acts.enqueue()
        with CaptureQueriesContext(connection) as queries:
            watch("--count", "1")
        asked.append(len(queries))
    assert asked[0] == asked[1]


def test_the_feed_is_of_what_somebody_may_see(session: vendors.Session) -> None:
    mine = acts.enqueue(queue_name="mine")
    acts.enqueue()
    seen = feed.newest(using=USING, narrow=lambda runs: runs.filter(queue_name="mine"))
    assert [entry.task_id for entry in seen] == [str(mine)]
