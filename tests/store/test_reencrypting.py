"""`manage.py tasks reencrypt` seals what is stored with the newest key, so that an old key can be taken out."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_tasks_durable import testing
from django_tasks_durable.models import Checkpoint, Schedule, TaskRun
from django_tasks_durable.primitives import codec
from django_tasks_durable.store import reencrypting, vendors
from django_tasks_durable.store.tables import RUNS
from tests.store import acts

from .test_encryption import NEW, OLD, SECRET, Vault, all_text, fernet, sealing, tell, within

pytestmark = pytest.mark.django_db

THEIRS = fernet.Fernet.generate_key().decode()


def opened_by(key: str) -> int:
    """Count the tokens in all tables that this key alone opens."""
    alone = fernet.Fernet(key)
    found = 0
    for piece in all_text().replace("\\", "").split('"'):
        if piece.startswith("gAAAA"):
            try:
                alone.decrypt(piece)
            except fernet.InvalidToken:
                continue
            found += 1
    return found


def command(*arguments: str) -> str:
    """Run the subcommand and return what it said."""
    out = StringIO()
    call_command("tasks", "reencrypt", *arguments, stdout=out)
    return out.getvalue()


def change_at(monkeypatch: pytest.MonkeyPatch, change: Callable[[str], object]) -> None:
    """Let somebody else do something whenever a text is about to be sealed anew."""
    seal_anew = reencrypting.sealing.resealed

    def meanwhile(text: str) -> str:
        change(text)
        return seal_anew(text)

    monkeypatch.setattr(reencrypting.sealing, "resealed", meanwhile)


def change_the_vault(monkeypatch: pytest.MonkeyPatch) -> TaskRun:
    """Let a workflow's state change whenever it is about to be sealed anew; return the run."""
    run = TaskRun.objects.get(task_path__endswith="Vault")

    def change(text: str) -> None:
        if text == run.workflow_state:
            TaskRun.objects.filter(pk=run.pk).update(workflow_state=codec.encode({"newer": True}))

    change_at(monkeypatch, change)
    return run


@pytest.fixture
def waiting() -> Any:
    """Leave every kind of sealed value, all of the old key: an open run, one that ended, a workflow, a schedule."""
    with sealing(OLD):
        within.enqueue(SECRET)
        Vault.enqueue()
        result = tell.enqueue(SECRET, also={"pin": SECRET})
        testing.drain()
        result.send("word", {"secret": SECRET})
        testing.answer(result, SECRET)
        Schedule.objects.create(
            name="nightly", task_path="shop.tasks.pay", cron="0 6 * * *", kwargs=codec.encode({"pin": SECRET})
        )
    return result


def test_nothing_of_the_old_key_is_left_and_the_run_goes_on_without_it(waiting: Any) -> None:
    before = opened_by(OLD)
    assert before > 15
    with sealing(NEW, OLD):
        said = command()
    assert f"{before} value(s)" in said
    assert opened_by(OLD) == 0
    assert opened_by(NEW) == before
    with sealing(NEW):
        testing.drain()
        waiting.refresh()
        assert waiting.status == "SUCCESSFUL", waiting.errors
        assert waiting.return_value[0] == SECRET.upper()
        testing.replay(waiting)
        assert codec.decode(Schedule.objects.get().kwargs) == {"pin": SECRET}


def test_a_dry_run_counts_and_changes_nothing(waiting: Any) -> None:
    before = all_text()
    with sealing(NEW, OLD):
        told = json.loads(command("--dry-run", "--json"))
    counts = {"resealed": opened_by(OLD), "unreadable": 0, "contended": 0}
    assert told == counts | {"passes": 1, "is_settled": False, "dry_run": True}
    assert all_text() == before


def test_what_has_the_newest_key_is_left_as_it_is(waiting: Any) -> None:
    with sealing(NEW, OLD):
        command()
        before = all_text()
        assert json.loads(command("--json"))["resealed"] == 0
    assert all_text() == before


def test_interrupted_half_way_it_goes_on(waiting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reencrypting, "BITE", 2)
    before = opened_by(OLD)
    with sealing(NEW, OLD):
        bites = reencrypting.bites(vendors.session(), dry_run=False)
        for _ in range(4):
            next(bites)
        bites.close()
        half = opened_by(OLD)
        assert 0 < half < before
        assert json.loads(command("--json"))["resealed"] == half
    assert opened_by(OLD) == 0


def test_values_of_a_key_that_nobody_has_stay_and_are_counted(waiting: Any) -> None:
    with sealing(THEIRS):
        foreign = within.enqueue(SECRET)
    text = TaskRun.objects.get(pk=foreign.id).args
    with sealing(NEW, OLD), pytest.raises(CommandError, match=r"1 value\(s\) cannot be opened by any of these keys"):
        command()
    assert TaskRun.objects.get(pk=foreign.id).args == text
    assert opened_by(OLD) == 0


def test_a_value_that_changes_meanwhile_is_not_put_back(waiting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = change_the_vault(monkeypatch)
    with sealing(NEW, OLD):
        told = json.loads(command("--json"))
        run.refresh_from_db()
        assert codec.decode(run.workflow_state) == {"newer": True}
    assert (told["contended"], opened_by(OLD)) == (0, 0)


def test_what_is_copied_to_where_it_has_been_is_found_all_the_same(
    waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Checkpoint.objects.filter(value__contains="$sealed")[0].value
    copied: list[int] = []

    def copy(text: str) -> None:
        if text == old and not copied:
            copied.append(TaskRun.objects.filter(pk=waiting.id).update(metadata=old))

    change_at(monkeypatch, copy)
    with sealing(NEW, OLD):
        told = json.loads(command("--json"))
    assert copied == [1]
    assert opened_by(OLD) == 0
    assert (told["passes"], told["is_settled"]) == (3, True)


def test_where_the_old_key_never_ends_it_says_so(waiting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Checkpoint.objects.filter(value__contains="$sealed")[0].value

    def write(text: str) -> None:
        if text != old:
            TaskRun.objects.filter(pk=waiting.id).update(metadata=old)

    change_at(monkeypatch, write)
    with sealing(NEW, OLD), pytest.raises(CommandError, match="The last of 3 passes still found") as raised:
        command()
    assert raised.value.returncode == 1


def test_what_nothing_opens_is_counted_though_a_row_beside_it_changes(
    waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sealing(THEIRS):
        within.enqueue(SECRET)
    change_the_vault(monkeypatch)
    with sealing(NEW, OLD), pytest.raises(CommandError, match=r"^1 value\(s\) cannot be opened by any"):
        command()


@pytest.mark.parametrize("damaged", ['{"$sealed":"gAAAA', '["$sealed', "$sealed"])
def test_a_text_that_is_damaged_is_counted_and_keeps_nothing_from_being_done(waiting: Any, damaged: str) -> None:
    TaskRun.objects.filter(pk=waiting.id).update(metadata=damaged)
    with sealing(NEW, OLD), pytest.raises(CommandError, match=r"^1 value\(s\) cannot be opened by any"):
        command()
    assert opened_by(OLD) == 0
    assert TaskRun.objects.get(pk=waiting.id).metadata == damaged


@pytest.mark.databases("postgresql", "mysql")
@pytest.mark.django_db(transaction=True)
def test_a_row_that_is_held_is_left_and_keeps_nothing_from_being_done(
    waiting: Any, other_session: vendors.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reencrypting, "LOCK_SECONDS", 0.1)
    monkeypatch.setattr(reencrypting, "TRIES", 1)
    run = TaskRun.objects.get(task_path__endswith="Vault")
    with sealing(NEW, OLD):
        with other_session.transaction():
            other_session.execute(
                f"SELECT 1 FROM {RUNS} WHERE id = %s {other_session.brand.lock}", [other_session.uuid(run.pk)]
            )
            with pytest.raises(CommandError, match="were changed or held by others") as raised:
                command()
        assert opened_by(OLD) == 2
        assert str(raised.value).startswith("2 value(s)")
        command()
    assert opened_by(OLD) == 0


def test_no_statement_reads_through_more_than_a_window(waiting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reencrypting, "WINDOW", 2)
    for _ in range(5):
        acts.enqueue()
    before = opened_by(OLD)
    with sealing(NEW, OLD), CaptureQueriesContext(connection) as captured:
        assert json.loads(command("--json"))["resealed"] == before
    looks = [query["sql"] for query in captured if "LIKE" in query["sql"] and RUNS in query["sql"]]
    assert len(looks) >= 4
    assert all("id <= " in sql for sql in looks)
    assert opened_by(OLD) == 0


def test_a_value_in_a_text_within_a_text_is_sealed_anew_too(waiting: Any) -> None:
    run = TaskRun.objects.get(pk=waiting.id)
    with sealing(OLD):
        held = json.dumps({"plan": ["step:a"], "raised": codec.encode_error(KeyError(SECRET)), "number": 1.50})
        inner = codec.seal(json.dumps({"raised": codec.encode_error(KeyError(SECRET))}))
    for path, text in (("undo:mark", held), ("undo:inner", inner)):
        Checkpoint.objects.create(run=run, path=path, kind="step", position=90, value=text, created_at=run.enqueued_at)
    with sealing(NEW, OLD):
        command()
    assert opened_by(OLD) == 0
    with sealing(NEW):
        kept = json.loads(Checkpoint.objects.get(path="undo:mark").value)
        assert isinstance(codec.decode_error(kept["raised"]), KeyError)
        kept = json.loads(codec.opened(Checkpoint.objects.get(path="undo:inner").value))
        assert isinstance(codec.decode_error(kept["raised"]), KeyError)


def test_what_only_looks_sealed_stays() -> None:
    looks = ['{"$sealed":"x"}', {"$sealed": "gAAAA"}, "$sealed"]
    plain = within.enqueue(looks)
    with sealing(OLD):
        sealed = within.enqueue(looks)
    with sealing(NEW, OLD):
        told = json.loads(command("--json"))
        assert (told["resealed"], told["unreadable"], told["contended"], told["is_settled"]) == (1, 0, 0, True)
        for result in (plain, sealed):
            assert codec.decode(TaskRun.objects.get(pk=result.id).args) == [looks]


def test_a_codec_that_cannot_tell_its_keys_apart_seals_everything_anew() -> None:
    told = {"payload_codec": f"{__name__}.Reversing"}
    with override_settings(
        TASKS={"default": {"BACKEND": "django_tasks_durable.DurableBackend", "QUEUES": [], "OPTIONS": told}}
    ):
        within.enqueue(SECRET)
        assert [json.loads(command("--json"))["resealed"] for _ in range(2)] == [1, 1]
        assert json.loads(command("--json"))["passes"] == 2
        assert "has no is_current()" in command()


class Reversing:
    """A codec with the two methods that a codec must have."""

    def __init__(self, keys: Any) -> None:
        self.nonce = uuid4

    def seal(self, text: str) -> str:
        return f"{self.nonce().hex}{text.encode().hex()[::-1]}"

    def open(self, sealed: str) -> str:
        return bytes.fromhex(sealed[32:][::-1]).decode()


def test_without_a_codec_it_says_what_is_missing() -> None:
    with pytest.raises(CommandError, match=r"OPTIONS\['payload_codec'\] is empty"):
        command()
