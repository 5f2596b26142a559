"""The contract of a place that keeps snapshots, held by each one that we bring."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from django_tasks_durable.engine.portable import snapshot_of
from django_tasks_durable.engine.portable.shelves import MemorySnapshots, SnapshotStore
from django_tasks_durable.exceptions import SnapshotFormat
from django_tasks_durable.primitives import clock
from example_project.file_snapshots import FileSnapshots


@pytest.fixture(params=["memory", "files"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotStore:
    """An empty place."""
    return MemorySnapshots() if request.param == "memory" else FileSnapshots(tmp_path / "new" / "folder")


def note(value: Any = None) -> dict[str, Any]:
    """Make a snapshot that can be told from others."""
    return snapshot_of({"step": value})


def names(shelf: SnapshotStore, **options: Any) -> list[str]:
    """List the names."""
    return [kept.name for kept in shelf.list(**options)]


@pytest.mark.seed("AW-15")
def test_the_list_begins_with_the_last_saved_and_ends_at_the_limit(shelf: SnapshotStore) -> None:
    for number, name in enumerate(("a", "b", "c", "a")):
        shelf.save(name, note())
        if isinstance(shelf, FileSnapshots):
            os.utime(shelf._file(name), ns=(0, number * 10**9))
    assert names(shelf) == ["a", "c", "b"]
    assert names(shelf, limit=2) == ["a", "c"]
    assert names(shelf, limit=0) == []
    assert all(kept.updated_at.tzinfo is not None for kept in shelf.list())


@pytest.mark.seed("AW-15")
@pytest.mark.parametrize("odd", ["100%_done", "a_b", "a*b", "a[b]c", "../up", ".hidden", "ü/ö\\", "a%2Fb", "x.json"])
def test_names_and_prefixes_mean_every_letter(shelf: SnapshotStore, odd: str) -> None:
    shelf.save(odd, note("odd"))
    shelf.save("100 percent is done", note())
    shelf.save("aXb", note())
    assert names(shelf, prefix=odd) == [odd]
    assert names(shelf, prefix=odd[:3] + "never") == []
    found = shelf.load(odd)
    assert found is not None
    assert found["steps"]["step"]["value"] == "odd"


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    shelf = FileSnapshots(tmp_path / "in")
    for name in ("../up", "..", ".", "/etc/passwd", "a/../../b"):
        shelf.save(name, note())
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert len(shelf.list()) == 5
    with pytest.raises(ValueError, match="not empty"):
        shelf.save("", note())


@pytest.mark.seed("AW-15")
@pytest.mark.parametrize("kind", ["memory", "files"])
def test_a_prefix_of_its_own_keeps_two_apart(kind: str, tmp_path: Path) -> None:
    def make(prefix: str) -> SnapshotStore:
        return FileSnapshots(tmp_path, prefix=prefix) if kind == "files" else MemorySnapshots(prefix=prefix)

    one, two = make("one:"), make("two:")
    one.save("run", note(1))
    two.save("run", note(2))
    two.save("other", note())
    assert names(one) == ["run"]
    assert sorted(names(two)) == ["other", "run"]
    one.delete("other")
    assert two.load("other") is not None


@pytest.mark.seed("AW-P9")
def test_what_is_no_snapshot_is_refused_and_the_old_one_stays(shelf: SnapshotStore) -> None:
    shelf.save("run", note(1))
    for wrong in ({}, {"formatVersion": 1}):
        with pytest.raises(SnapshotFormat):
            shelf.save("run", wrong)
    found = shelf.load("run")
    assert found is not None
    assert found["steps"]["step"]["value"] == 1


@pytest.mark.seed("AW-P9")
def test_a_file_that_was_damaged_is_a_typed_error(tmp_path: Path) -> None:
    shelf = FileSnapshots(tmp_path)
    shelf.save("run", note(1))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(SnapshotFormat, match="cut short"):
        shelf.load("run")


def test_a_disk_that_fails_leaves_the_old_snapshot_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = FileSnapshots(tmp_path)
    shelf.save("run", note(1))

    def fail(*args: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        shelf.save("run", note(2))
    found = shelf.load("run")
    assert found is not None
    assert found["steps"]["step"]["value"] == 1
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.seed("AW-14")
def test_memory_keeps_so_many_and_lets_the_one_saved_first_go() -> None:
    shelf = MemorySnapshots(most=2)
    for name in ("a", "b", "a", "c"):
        shelf.save(name, note())
    assert names(shelf) == ["c", "a"]
    with pytest.raises(ValueError, match="most=0"):
        MemorySnapshots(most=0)


@pytest.mark.seed("AW-14")
def test_memory_keeps_for_so_long(frozen: datetime) -> None:
    shelf = MemorySnapshots(keep_for=timedelta(minutes=1))
    shelf.save("old", note())
    clock.advance(59)
    shelf.save("new", note())
    assert names(shelf) == ["new", "old"]
    clock.advance(1)
    assert shelf.load("old") is None
    assert names(shelf) == ["new"]
    assert shelf.list()[0].updated_at == frozen + timedelta(seconds=59)
