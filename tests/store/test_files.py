"""A FileRef stands for bytes that are too many for a history."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from django_tasks_durable import FileRef, MemoryStore, task, testing
from django_tasks_durable.exceptions import FileChanged, PayloadTooLarge
from django_tasks_durable.models import Checkpoint
from django_tasks_durable.primitives import codec

LARGE = 3_000_000


@task
def render(context: Any, rows: int) -> FileRef:
    """Render a report that no row of a database should hold."""
    report = context.step("render", _rendered, rows)
    assert isinstance(report, FileRef)
    context.sleep("until it is wanted", hours=1)
    context.step("sent", len, report.read())
    return report


def _rendered(rows: int) -> FileRef:
    return FileRef.save((b"x" * 1000 for _ in range(rows)), "report.txt")


@pytest.mark.django_db
def test_a_step_hands_three_megabytes_on_and_the_history_holds_a_line() -> None:
    with testing.frozen():
        result = render.enqueue(LARGE // 1000)
        testing.drain()
        testing.advance(3600)
        testing.drain()
    result.refresh()
    assert result.status == "SUCCESSFUL", result.errors
    report = result.return_value
    assert (report.size, len(report.read())) == (LARGE, LARGE)
    assert max(len(row.value) for row in Checkpoint.objects.all()) < 500


def test_what_goes_in_comes_out() -> None:
    for content, wanted in [
        ("Grüße", "Grüße".encode()),
        (b"\x00\xff", b"\x00\xff"),
        (io.BytesIO(b"file"), b"file"),
        (ContentFile(b"of Django"), b"of Django"),
        (iter([b"one", b"two"]), b"onetwo"),
        (b"", b""),
    ]:
        kept = FileRef.save(content)
        assert kept.exists()
        assert (kept.read(), b"".join(kept.chunks()), kept.size) == (wanted, wanted, len(wanted))
    assert FileRef.save("Grüße").text() == "Grüße"


async def test_the_twins() -> None:
    kept = await FileRef.asave("told", "a.txt")
    assert (await kept.aread(), await kept.atext(), await kept.aexists()) == (b"told", "told", True)
    await kept.adelete()
    assert not await kept.aexists()


def test_two_of_the_same_bytes_are_two_files_and_one_may_go() -> None:
    one, two = FileRef.save("same", "same.txt"), FileRef.save("same", "same.txt")
    assert one.name != two.name
    assert one.sha256 == two.sha256
    one.delete()
    one.delete()
    with pytest.raises(FileNotFoundError):
        one.read()
    assert two.read() == b"same"


def test_a_file_that_was_changed_is_told() -> None:
    kept = FileRef.save("right")
    default_storage.delete(kept.name)
    default_storage.save(kept.name, ContentFile(b"wrong"))
    with pytest.raises(FileChanged, match="SHA-256"):
        kept.read()
    with pytest.raises(FileChanged):
        list(kept.chunks())


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/b/../report.txt"])
def test_a_name_leads_out_of_no_folder(name: str) -> None:
    kept = FileRef.save("x", name)
    assert kept.name.startswith("tasks/")
    assert kept.name.count("/") == 2


def test_a_name_that_is_no_name_is_refused() -> None:
    with pytest.raises(SuspiciousFileOperation):
        FileRef.save("x", "..")


def test_it_travels_and_is_shown_as_a_line() -> None:
    kept = FileRef("tasks/a/b.txt", "default", 1234, "ff")
    text = codec.encode({"report": [kept]})
    assert codec.decode(text) == {"report": [kept]}
    assert codec.readable(text) == {"report": ["default:tasks/a/b.txt (1,234 bytes)"]}


@task
def numbers(context: Any, count: int) -> str:
    """Give back more than may be stored."""
    return "x" * count


def test_a_value_that_is_too_large_names_the_way_out() -> None:
    with pytest.raises(PayloadTooLarge, match="FileRef"):
        numbers.invoke(2_000_000, store=MemoryStore())


@task
def stored(context: Any) -> Iterator[FileRef]:
    """Yield a file."""
    yield FileRef.save("partial")


def test_a_partial_may_be_a_file() -> None:
    (item,) = [item for item in stored.stream(store=MemoryStore()) if item.kind == "partial"]
    assert item.partial.text() == "partial"
