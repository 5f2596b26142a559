"""Places for snapshots: the contract that users hold their own to, and what an operator does with any of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from django_tasks_durable import (
    MemorySnapshots,
    SnapshotStore,
    clear_snapshots,
    delete_snapshot,
    delete_snapshots,
    has_snapshot,
    pending_snapshots,
    snapshot_of,
)
from django_tasks_durable.exceptions import PersistenceFailed, SnapshotFormat
from django_tasks_durable.testing import SnapshotStoreContract
from example_project.file_snapshots import FileSnapshots


@pytest.mark.seed("AW-15", "AW-28")
class TestMemorySnapshots(SnapshotStoreContract):
    """Every test of the contract, in memory."""

    def make_store(self) -> MemorySnapshots:
        return MemorySnapshots()


@pytest.mark.seed("AW-15", "AW-28")
class TestFileSnapshots(SnapshotStoreContract):
    """Every test of the contract, with the store of the examples."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make_store(self) -> FileSnapshots:
        return FileSnapshots(self.folder / "not" / "yet")


@pytest.mark.seed("AW-28")
def test_the_contract_finds_a_store_that_overwrites_nothing_and_one_that_lends_what_it_keeps() -> None:
    class Stubborn(MemorySnapshots):
        def save(self, name: str, snapshot: Any) -> None:
            if self.load(name) is None:
                super().save(name, snapshot)

    class Lending(MemorySnapshots):
        def load(self, name: str) -> Any:
            lent = self.__dict__.setdefault("lent", {})
            return lent.setdefault(name, super().load(name))

    for store, test in (
        (Stubborn, "test_loading_nothing_is_none_and_saving_again_replaces"),
        (Lending, "test_what_is_loaded_is_nobody_elses"),
    ):
        contract = type("Contract", (SnapshotStoreContract,), {"make_store": lambda self, made=store: made()})()
        with pytest.raises(AssertionError):
            getattr(contract, test)()


@pytest.mark.seed("AW-29")
def test_the_guide_shows_the_protocol_for_databases_that_django_has_none_for() -> None:
    guide = (Path(__file__).parent.parent.parent / "docs/guide/snapshots.md").read_text()
    methods = [name for name in vars(SnapshotStore) if not name.startswith("_")]
    assert sorted(methods) == ["close", "delete", "list", "load", "save"]
    assert all(f"| `{name}(" in guide for name in methods)
    assert {"MongoDB", "libSQL", "SnapshotStoreContract"} <= set(re.findall(r"\w+", guide))


@pytest.fixture
def store() -> MemorySnapshots:
    """Three runs, the first of which has ended."""
    store = MemorySnapshots()
    for name, status in (("a:1", "completed"), ("a:2", "running"), ("b:1", "running")):
        store.save(name, snapshot_of({}, status=status))
    return store


class Failing(MemorySnapshots):
    """A store that cannot delete what begins with b."""

    def delete(self, name: str) -> None:
        if name.startswith("b"):
            raise OSError(f"no {name}")
        super().delete(name)


@pytest.mark.seed("AW-24")
def test_a_snapshot_can_be_asked_for_and_deleted_and_tells_whether_it_was_there(store: MemorySnapshots) -> None:
    assert [has_snapshot(store, name) for name in ("a:1", "a:", "c")] == [True, False, False]
    assert [delete_snapshot(store, name) for name in ("a:1", "a:1")] == [True, False]


@pytest.mark.seed("AW-24")
def test_a_damaged_snapshot_is_there_and_can_be_deleted(tmp_path: Path) -> None:
    files = FileSnapshots(tmp_path)
    files.save("run", snapshot_of({"step": 1}))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:30])
    with pytest.raises(SnapshotFormat):
        pending_snapshots(files)
    assert has_snapshot(files, "run")
    assert delete_snapshot(files, "run")
    assert not has_snapshot(files, "run")


@pytest.mark.seed("AW-24")
def test_many_are_deleted_up_to_the_first_error_or_past_it() -> None:
    store = Failing()
    for name in ("a", "b", "c", "d"):
        store.save(name, snapshot_of({}))
    with pytest.raises(OSError, match="no b"):
        delete_snapshots(store, ["a", "b", "c"], at_once=1)
    assert [kept.name for kept in store.list()] == ["d", "c", "b"]
    outcome = delete_snapshots(store, ["a", "b", "c", "d", "d"], continue_on_error=True)
    assert outcome.deleted == ("c", "d")
    assert [(name, str(error)) for name, error in outcome.failed.items()] == [("b", "no b")]


@pytest.mark.seed("AW-24")
def test_all_of_a_prefix_are_cleared_and_the_others_stay(store: MemorySnapshots) -> None:
    assert clear_snapshots(store, prefix="a:", at_once=1) == 2
    assert [kept.name for kept in store.list()] == ["b:1"]


def test_clearing_ends_when_a_store_forgets_nothing() -> None:
    class Deaf(MemorySnapshots):
        def delete(self, name: str) -> None:
            pass

    store = Deaf()
    store.save("run", snapshot_of({}))
    with pytest.raises(PersistenceFailed, match="still listed"):
        clear_snapshots(store)


@pytest.mark.seed("AW-24")
def test_the_pending_ones_are_those_whose_runs_have_not_ended(store: MemorySnapshots) -> None:
    assert [kept.name for kept in pending_snapshots(store)] == ["b:1", "a:2"]
    assert [kept.name for kept in pending_snapshots(store, prefix="a:")] == ["a:2"]
    for number in range(5):
        store.save(f"c:{number}", snapshot_of({}, status="failed"))
    assert [kept.name for kept in pending_snapshots(store, limit=1)] == ["b:1"]
    assert pending_snapshots(store, limit=0) == []
