"""With a payload codec the database holds no value that it could read, and everything else goes on as it did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission, User
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client, override_settings

from django_tasks_durable import Workflow, command, export_snapshot, restore, task, testing, transition
from django_tasks_durable.exceptions import AlreadyResolved, StepFailed, Unreadable
from django_tasks_durable.models import Checkpoint, Message, Step, TaskRun, Wait
from django_tasks_durable.primitives import codec
from django_tasks_durable.snapshots import read

fernet = pytest.importorskip("cryptography.fernet")
pytestmark = pytest.mark.django_db

OLD, NEW = fernet.Fernet.generate_key().decode(), fernet.Fernet.generate_key().decode()
SECRET = "red-herring-4711"


@contextmanager
def sealing(*keys: str) -> Iterator[None]:
    """Encrypt with the first key; without any, keep texts as they are."""
    told = {"payload_codec": "django_tasks_durable.encryption.FernetCodec", "payload_keys": keys} if keys else {}
    with override_settings(
        TASKS={"default": {"BACKEND": "django_tasks_durable.DurableBackend", "QUEUES": [], "OPTIONS": told}}
    ):
        yield


@task(max_attempts=1)
def tell(context: Any, secret: str, *, also: dict[str, str]) -> Iterator[Any]:
    """Leave the secret wherever a task can leave something."""
    context.progress(20, "begun", about=secret)
    context.log("a line", about=secret)
    found = context.step("whole", str.upper, secret)
    try:
        context.step("refused", refuse, secret)
    except Refused as refused:
        if refused.args != (secret,):
            raise AssertionError("the error came back without what it held") from refused
    yield {"partial": secret}
    answer = context.interrupt({"question": secret})
    heard = context.recv("word")
    nested = yield from context.call(within, secret)
    return [found, answer, heard, nested, also]


class Refused(Exception):
    """An error that says nothing of what it holds."""

    def __str__(self) -> str:
        return "refused"


def refuse(secret: str) -> None:
    raise Refused(secret)


@task
def within(context: Any, secret: str) -> Iterator[Any]:
    """A task within the other one."""
    yield f"within {secret}"
    return context.step("reversed", _reversed, secret)


def _reversed(secret: str) -> str:
    return secret[::-1]


class Vault(Workflow):
    """A state machine whose state is nobody's business."""

    @dataclass
    class State:
        """What it knows."""

        secret: str = SECRET
        opened: int = 0

    state: State

    @transition(to=["shut"], start=True)
    def open(self) -> str:
        """Wait until somebody was there."""
        self.interrupt({"for": self.state.secret})
        return "shut"

    @transition()
    def shut(self) -> None:
        """End."""

    @command
    def enter(self) -> int:
        """Count."""
        self.state.opened += 1
        return self.state.opened


def all_text() -> str:
    """Return every character of every table of ours."""
    found: list[str] = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table.startswith("durable_tasks_"):
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                found += [str(cell) for row in cursor.fetchall() for cell in row]
    return "\n".join(found)


def test_no_value_is_in_the_database_and_the_run_is_what_it_was() -> None:
    with sealing(NEW):
        result = tell.enqueue(SECRET, also={"pin": SECRET})
        testing.drain()
        result.send("word", {"secret": SECRET})
        testing.answer(result, SECRET)
        testing.drain()
        result.refresh()
        assert result.status == "SUCCESSFUL", result.errors
        assert result.return_value == [SECRET.upper(), SECRET, {"secret": SECRET}, SECRET[::-1], {"pin": SECRET}]
        assert next(iter(result.stream(after=0))).partial == {"partial": SECRET}
        testing.replay(result)
    assert all(model.objects.exists() for model in (Checkpoint, Message, Step, Wait))
    told = all_text()
    for form in (SECRET, SECRET.upper(), SECRET[::-1]):
        assert form not in told
    assert "test_encryption.tell" in told, "the names of tasks stay readable"


def test_the_state_of_a_workflow_is_sealed_and_commands_change_it() -> None:
    with sealing(NEW):
        result = Vault.enqueue()
        testing.drain()
        before = TaskRun.objects.get(pk=result.id).workflow_state
        assert SECRET not in all_text()
        assert Vault.of(result.id).enter() == 1
        assert TaskRun.objects.get(pk=result.id).workflow_state != before
        with Vault.transaction(result.id) as vault:
            assert vault.state.opened == 1
        testing.answer(result, None)
        testing.drain()
        result.refresh()
        assert result.return_value == Vault.State(SECRET, 1)
    assert SECRET not in all_text()


def test_a_new_key_goes_before_the_old_one_and_both_are_read() -> None:
    with sealing(OLD):
        first = tell.enqueue(SECRET, also={})
        testing.drain()
    with sealing(NEW, OLD):
        testing.answer(first, "yes")
        first.send("word", "w")
        testing.drain()
        first.refresh()
        assert first.status == "SUCCESSFUL"
        second = within.enqueue(SECRET)
    with sealing(NEW):
        testing.drain()
        second.refresh()
        assert second.return_value == SECRET[::-1]
        assert read.one(UUID(first.id), using="default").as_dict()["args"] == "(encrypted: no key here opens it)"


def test_rows_from_before_the_keys_stay_readable() -> None:
    result = tell.enqueue(SECRET, also={})
    testing.drain()
    with sealing(NEW):
        testing.answer(result, SECRET)
        result.send("word", "w")
        testing.drain()
        result.refresh()
        assert result.return_value[1] == SECRET


def test_without_a_key_that_opens_it_nothing_runs_and_nothing_is_lost() -> None:
    with sealing(OLD):
        result = within.enqueue(SECRET)
    with sealing(NEW):
        testing.drain()
        result.refresh()
        assert (result.status, "UNREADABLE") == ("FAILED", TaskRun.objects.get(pk=result.id).error_code)
    with sealing(NEW, OLD):
        result.retry()
        testing.drain()
        result.refresh()
        assert result.return_value == SECRET[::-1]


def test_the_same_answer_again_is_the_same_though_its_text_is_another() -> None:
    with sealing(NEW):
        result = tell.enqueue(SECRET, also={})
        testing.drain()
        token = Wait.objects.get(run_id=result.id).token
        result.resolve(token, {"a": 1})
        result.resolve(token, {"a": 1})
        with pytest.raises(AlreadyResolved):
            result.resolve(token, {"a": 2})


def test_the_same_input_finds_its_run_by_an_idempotency_key() -> None:
    with sealing(NEW):
        one = within.using(idempotency_key="k").enqueue(SECRET)
        two = within.using(idempotency_key="k").enqueue(SECRET)
        assert (one.id, two.disposition) == (two.id, "reused")


def test_people_see_it_only_through_the_redaction() -> None:
    with sealing(NEW):
        result = tell.enqueue("visible", also={"password": SECRET})
        testing.drain()
        shown = read.one(UUID(result.id), using="default").as_dict()
        assert shown["args"] == ["visible"]
        looker = User.objects.create_user("looker", is_staff=True)
        looker.user_permissions.set(Permission.objects.filter(content_type__app_label="durable_tasks"))
        browser = Client()
        browser.force_login(looker)
        for address in (f"/admin/durable_tasks/taskrun/{result.id}/change/", f"/api/tasks/{result.id}/"):
            response = browser.get(address)
            assert response.status_code == 200, address
            page = response.content.decode()
            assert "visible" in page
            assert SECRET not in page
            assert codec.encode("x")[:12] not in page


def test_a_snapshot_in_a_file_is_plain_and_is_sealed_again_where_it_is_restored() -> None:
    with sealing(NEW):
        result = tell.enqueue(SECRET, also={})
        testing.drain()
        document = export_snapshot(result.id)
        assert "$sealed" not in str(document)
        assert document["metadata"]["input"]["args"] == [SECRET]
        TaskRun.objects.all().delete()
        again = tell.get_result(str(restore(document).into_database()))
        assert SECRET not in all_text()
        testing.answer(again, "yes")
        again.send("word", "w")
        testing.drain()
        again.refresh()
        assert again.return_value[0] == SECRET.upper()


def test_text_that_was_changed_in_the_database_is_refused() -> None:
    with sealing(NEW):
        text = codec.encode({"a": SECRET})
        with pytest.raises(Unreadable, match="none of the keys"):
            codec.decode(text.replace("gAAAA", "gAAAB"))
        assert codec.readable(text.replace("gAAAA", "gAAAB")).startswith("(encrypted")
        assert isinstance(codec.decode_error(codec.encode_error(KeyError(SECRET))), KeyError)
    assert isinstance(codec.decode_error(text), StepFailed)
    with pytest.raises(Unreadable, match="payload_codec"):
        codec.decode(text)


def test_what_only_looks_sealed_is_a_value_like_any_other() -> None:
    for told in ({"$sealed": "gAAAA"}, {"$sealed": "gAAAA", "b": 1}, '{"$sealed":"x"}', ["$sealed"]):
        with sealing(NEW):
            assert codec.decode(codec.encode(told)) == told
            assert codec.decode(codec.opened(codec.encode(told))) == told
        assert codec.decode(codec.opened(codec.encode(told))) == told


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"payload_codec": "django_tasks_durable.encryption.FernetCodec"}, "payload_keys'] is empty"),
        ({"payload_codec": "django_tasks_durable.encryption.FernetCodec", "payload_keys": ["hush"]}, "[0] is no key"),
        ({"payload_codec": "no.such.Codec"}, "cannot be used"),
        ({"payload_codec": "builtins.list"}, "seal() and open()"),
        ({"payload_keys": ["hush"]}, "payload_codec"),
    ],
)
def test_a_codec_that_cannot_be_used_is_an_error_before_anything_is_stored(told: dict[str, Any], said: str) -> None:
    entry = {"BACKEND": "django_tasks_durable.DurableBackend", "QUEUES": [], "OPTIONS": told}
    with override_settings(TASKS={"default": entry}):
        (found,) = [message for message in run_checks() if message.id == "durable_tasks.E051"]
        assert said in found.msg
        assert "hush" not in found.msg
        if "payload_codec" in told:
            with pytest.raises(ImproperlyConfigured):
                within.enqueue(SECRET)
            assert not TaskRun.objects.exists()


def test_aliases_that_name_different_keys_are_an_error() -> None:
    entry = {"BACKEND": "django_tasks_durable.DurableBackend", "QUEUES": []}
    told = {"payload_codec": "django_tasks_durable.encryption.FernetCodec"}
    with override_settings(
        TASKS={
            "default": {**entry, "OPTIONS": {**told, "payload_keys": [NEW]}},
            "other": {**entry, "OPTIONS": {**told, "payload_keys": [OLD]}},
        }
    ):
        assert [message.id for message in run_checks() if "codecs" in message.msg] == ["durable_tasks.E051"]
