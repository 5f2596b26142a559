"""The contract of a place that keeps snapshots."""

from __future__ import annotations

import threading
from typing import Any

from django_tasks_durable.engine.portable import (
    SnapshotStore,
    clear_snapshots,
    delete_snapshot,
    delete_snapshots,
    has_snapshot,
    pending_snapshots,
    snapshot_of,
)
from django_tasks_durable.exceptions import SnapshotFormat

ODD_NAMES = (
    "100%_done",
    "a_b",
    "a*b",
    "a[b]c",
    "../up",
    ".hidden",
    "ü/ö\\",
    "a%2Fb",
    "x.json",
    "A",
    "a",
    "1' OR '1'='1",
)


class SnapshotStoreContract:
    """What every SnapshotStore must do, as tests: inherit from it in a test class and say how to make an empty store.

    Works with pytest, and with unittest beside ``TestCase``.
    """

    def make_store(self) -> SnapshotStore:
        """Return an empty store."""
        raise NotImplementedError(f"{type(self).__name__}.make_store() must return an empty SnapshotStore.")

    def test_loading_nothing_is_none_and_saving_again_replaces(self) -> None:
        """A name holds the latest snapshot."""
        store = self.make_store()
        assert store.load("run") is None
        for value in (1, None, {"deep": [1, {"deeper": "ü\x07"}]}):
            store.save("run", _note(value))
            assert _value(store, "run") == value
        assert _names(store) == ["run"]

    def test_what_is_loaded_is_nobody_elses(self) -> None:
        """Changing what was loaded, or what was saved, changes nothing that is kept."""
        store, note = self.make_store(), _note([1])
        store.save("run", note)
        note["steps"]["step"]["value"].append(2)
        loaded = store.load("run")
        assert loaded is not None
        loaded["steps"]["step"]["value"].append(3)
        assert _value(store, "run") == [1]

    def test_deleting_twice_is_like_deleting_once(self) -> None:
        """To delete what is not there is no error."""
        store = self.make_store()
        store.save("run", _note())
        store.delete("run")
        store.delete("run")
        assert store.load("run") is None
        assert store.list() == []

    def test_a_list_has_no_more_than_its_limit_which_is_a_hundred_by_itself(self) -> None:
        """Every name stands once, with an instant that knows its offset."""
        store = self.make_store()
        for number in range(105):
            store.save(f"run-{number}", _note())
        store.save("run-0", _note())
        assert len(store.list()) == 100
        assert sorted(_names(store, limit=1000)) == sorted(f"run-{number}" for number in range(105))
        assert store.list(limit=0) == []
        kept = store.list(limit=1000)
        assert all(each.updated_at.tzinfo is not None for each in kept)
        assert [each.updated_at for each in kept] == sorted((each.updated_at for each in kept), reverse=True)

    def test_names_and_prefixes_mean_every_letter(self) -> None:
        """No letter of a name or a prefix is a wildcard, a folder or a quote."""
        store = self.make_store()
        for place, name in enumerate(ODD_NAMES):
            store.save(name, _note(place))
        for place, name in enumerate(ODD_NAMES):
            assert _value(store, name) == place, name
            assert sorted(_names(store, prefix=name)) == sorted(each for each in ODD_NAMES if each.startswith(name))
        assert _names(store, prefix="never") == []

    def test_what_is_no_snapshot_is_refused_and_the_old_one_stays(self) -> None:
        """A refusal is SnapshotFormat."""
        store = self.make_store()
        store.save("run", _note(1))
        for wrong in ({}, {"formatVersion": 1}):
            try:
                store.save("run", wrong)
            except SnapshotFormat:
                continue
            raise AssertionError(f"{wrong} is no snapshot, and was saved")
        assert _value(store, "run") == 1

    def test_many_writers_leave_one_whole_snapshot(self) -> None:
        """The last one to save wins; nobody finds half of a snapshot."""
        store = self.make_store()
        notes = [_note([number] * 500) for number in range(8)]
        threads = [threading.Thread(target=store.save, args=("run", note)) for note in notes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.load("run") in notes
        assert _names(store) == ["run"]

    def test_what_was_closed_is_still_kept_and_closing_twice_is_fine(self) -> None:
        """Closing gives back what the store holds open, and nothing else."""
        store = self.make_store()
        store.save("run", _note(1))
        store.close()
        store.close()
        assert _value(store, "run") == 1

    def test_the_acts_of_housekeeping_work_on_it(self) -> None:
        """To ask, delete, clear and list what is pending needs nothing but the five methods."""
        store = self.make_store()
        for number in range(25):
            store.save(f"a-{number}", _note())
        store.save("b", snapshot_of({}, status="completed"))
        assert (has_snapshot(store, "b"), has_snapshot(store, "c")) == (True, False)
        assert len(pending_snapshots(store)) == 25
        assert (delete_snapshot(store, "b"), delete_snapshot(store, "b")) == (True, False)
        assert delete_snapshots(store, ["a-1", "a-2", "b"]).deleted == ("a-1", "a-2")
        assert clear_snapshots(store, prefix="a-", at_once=10) == 23
        assert store.list() == []


def _note(value: Any = None) -> dict[str, Any]:
    return snapshot_of({"step": value})


def _value(store: SnapshotStore, name: str) -> Any:
    found = store.load(name)
    assert found is not None, f"{name!r} was saved and is not found"
    return found["steps"]["step"]["value"]


def _names(store: SnapshotStore, **options: Any) -> list[str]:
    return [kept.name for kept in store.list(**options)]
