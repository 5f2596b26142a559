"""Snapshots of older code are led to newer code, version by version."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from django_tasks_durable.engine.portable import (
    assert_valid_snapshot,
    compose,
    export_snapshot,
    migrate,
    remove_key,
    rename_key,
    restore,
    transform_value,
    validate_snapshot,
)
from django_tasks_durable.exceptions import SnapshotFormat, VersionMismatch
from django_tasks_durable.primitives.writes import Failed, Succeeded
from django_tasks_durable.store.memory import MemoryStore
from tests.engine.laboratory import Bench, local


@pytest.fixture
def old() -> dict[str, Any]:
    """What a run of the first version left behind while it waits."""

    @local
    def child(context: Any) -> Any:
        yield "from the child"
        return context.step("load", lambda: "inner")

    @local
    def body(context: Any) -> Any:
        context.step("load", lambda: {"total": "10"})
        context.step("load", lambda: {"total": "20"})
        context.step("audit", lambda: "noted")
        yield from context.call(child)
        context.interrupt("?")

    bench = Bench(body)
    bench.slice()
    return export_snapshot(bench.run_id, store=bench.store)


def go_on(document: dict[str, Any], body: Any, **options: Any) -> Bench:
    """Let other code go on with a snapshot, and answer its question."""
    document = json.loads(json.dumps(document))
    document["workflowName"] = document["metadata"]["workflowId"] = document["durable"]["task_path"] = body.module_path
    bench = Bench(body)
    bench.store = MemoryStore()
    bench.run_id = restore(document, **options).into_memory(bench.store)
    return bench.answer("yes")


@pytest.mark.seed("AW-18", "AW-P5")
def test_new_code_goes_on_with_what_old_code_left(old: dict[str, Any]) -> None:
    deeds: list[str] = []

    @local
    def child(context: Any) -> Any:
        yield "from the child"
        return context.step("load", deeds.append, "inner")

    @local
    def body(context: Any) -> Any:
        totals = [context.step("fetch", deeds.append, "fetch"), context.step("fetch", deeds.append, "fetch")]
        inner = yield from context.call(child)
        return [*totals, inner, context.interrupt("?")]

    fresh = codec_fingerprints(old)
    migrations = {
        1: compose(rename_key("load", "fetch"), remove_key("audit"), fresh),
        2: transform_value("fetch", lambda value: {"total": int(value["total"])}),
    }
    bench = go_on(old, body, version=3, migrations=migrations)
    assert isinstance(bench.slice(), Succeeded), bench.error()
    assert bench.result == [{"total": 10}, {"total": 20}, "inner", "yes"]
    assert deeds == []


def codec_fingerprints(old: dict[str, Any]) -> Any:
    """Return the migration that a user writes whose steps take other arguments now."""
    from django_tasks_durable.primitives import codec

    def change(document: dict[str, Any]) -> dict[str, Any]:
        made = deepcopy(document)
        for path, result in made["steps"].items():
            if result["kind"] == "step":
                argument = "inner" if path.startswith("call:") else "fetch"
                result["fingerprint"] = codec.fingerprint([argument], {})
        return made

    return change


def test_without_its_migration_the_same_code_drifts(old: dict[str, Any]) -> None:
    @local
    def body(context: Any) -> Any:
        yield context.step("fetch", lambda: 1)

    bench = go_on(old, body)
    assert isinstance(bench.slice(), Failed)
    assert bench.error()["code"] == "DRIFT"


@pytest.mark.seed("AW-18")
def test_a_renamed_key_takes_all_its_uses_along_and_nobody_elses(old: dict[str, Any]) -> None:
    renamed = rename_key("load", "fetch")(old)
    call = next(path for path in old["steps"] if path.startswith("call:") and "/" not in path)
    assert list(renamed["steps"]) == ["step:fetch", "step:fetch#2", "step:audit", f"{call}/step:load", call]
    assert renamed["durable"]["order"] == list(renamed["steps"])
    assert validate_snapshot(renamed).valid
    inside = rename_key(call, "call:other")(old)
    assert list(inside["steps"])[-2:] == ["call:other/step:load", "call:other"]
    assert rename_key("wait:interrupt", "wait:approve")(old)["durable"]["waits"][0]["path"] == "wait:approve"
    assert rename_key("wait:interrupt", "wait:approve")(old)["execution"]["currentStepId"] == "wait:approve"


@pytest.mark.seed("AW-18")
def test_whatever_a_body_asks_for_is_renamed_by_its_path() -> None:
    @local
    def body(context: Any) -> Any:
        context.patched("new")
        context.poll("ticket", lambda: "ended", every=1)
        context.gather({"a": lambda context: context.step("load", lambda: 1)})
        context.approval("fine")

    bench = Bench(body)
    bench.slice()
    old = export_snapshot(bench.run_id, store=bench.store)
    for path in ("patch:new", "poll:ticket", "branch:a", "branch:a/step:load", "approval:fine"):
        other = f"{path.rpartition(':')[0]}:other"
        document = rename_key(path, other)(old)
        paths = [*document["steps"], *(wait["path"] for wait in document["durable"]["waits"])]
        assert other in paths
        assert path not in paths
        assert validate_snapshot(document).valid


@pytest.mark.seed("AW-18")
def test_a_removed_key_leaves_no_gap(old: dict[str, Any]) -> None:
    removed = remove_key("audit")(old)
    assert "step:audit" not in removed["steps"]
    body = {path: result["position"] for path, result in removed["steps"].items() if "/" not in path}
    assert list(body.values()) == [0, 1, 2]
    assert removed["durable"]["waits"][0]["position"] == 3
    inner = next(result for path, result in removed["steps"].items() if "/" in path)
    assert inner["position"] == 0
    assert validate_snapshot(removed).valid


@pytest.mark.seed("AW-18")
def test_a_value_is_changed_as_the_value_it_is() -> None:
    from decimal import Decimal

    @local
    def body(context: Any) -> Any:
        context.step("price", lambda: Decimal("1.10"))
        context.interrupt("?")

    bench = Bench(body)
    bench.slice()
    document = export_snapshot(bench.run_id, store=bench.store)
    doubled = transform_value("price", lambda price: (price * 2, None))(document)
    assert assert_valid_snapshot(doubled).steps["price"] == (Decimal("2.20"), None)


@pytest.mark.seed("AW-18")
def test_migrations_are_pure(old: dict[str, Any]) -> None:
    before = deepcopy(old)
    for change in (rename_key("load", "fetch"), remove_key("load"), transform_value("load", lambda value: 1)):
        changed = change(old)
        changed["metadata"]["input"] = "changed"
        assert old == before


@pytest.mark.seed("AW-18")
def test_a_key_that_a_run_had_not_reached_is_no_error(old: dict[str, Any]) -> None:
    for change in (rename_key("later", "last"), remove_key("later"), transform_value("later", lambda value: 1)):
        assert change(old) == old
    with pytest.raises(SnapshotFormat, match="already"):
        rename_key("load", "audit")(old)


@pytest.mark.seed("AW-18")
def test_awaitlys_snapshots_are_migrated_too() -> None:
    ok = {"ok": True, "value": {"$oid": "1"}}
    state = {"kind": "ResumeState", "steps": [["user/fetch", ok], ["gone", ok]]}
    lead = compose(rename_key("user/fetch", "user"), remove_key("gone"), transform_value("user", lambda value: [value]))

    @local
    def body(context: Any) -> Any:
        return context.step("user", lambda: "done again")

    store, bench = MemoryStore(), Bench(body)
    bench.run_id, bench.store = restore(state, body, version=2, migrations={1: lead}).into_memory(store), store
    bench.slice()
    assert bench.result == [{"$oid": "1"}]


@pytest.mark.seed("AW-18", "AW-P5")
def test_a_snapshot_without_a_version_is_of_the_first(old: dict[str, Any]) -> None:
    assert assert_valid_snapshot(old).version == 1
    assert restore(old).snapshot.version == 1
    assert restore(old, version=1).remarks == restore(old).remarks
    del old["durable"]
    assert assert_valid_snapshot(old).version == 1


@pytest.mark.seed("AW-18", "AW-P5")
def test_a_missing_link_and_a_version_to_come_are_refused(old: dict[str, Any]) -> None:
    with pytest.raises(VersionMismatch, match="no migration from version 1 to 2") as caught:
        restore(old, version=2)
    assert (caught.value.stored, caught.value.current, caught.value.code) == (1, 2, "VERSION_MISMATCH")
    with pytest.raises(VersionMismatch, match="from version 2 to 3"):
        restore(old, version=3, migrations={1: dict})
    old["durable"]["version"] = 9
    with pytest.raises(VersionMismatch, match="newer code"):
        restore(old, version=3, migrations={1: dict, 2: dict})


@pytest.mark.seed("AW-18", "AW-P5")
def test_each_link_of_the_chain_is_taken_once_in_order(old: dict[str, Any]) -> None:
    taken: list[int] = []

    def link(number: int) -> Any:
        return lambda document: taken.append(number) or document

    done = migrate(old, {number: link(number) for number in range(1, 9)}, to=4)
    assert taken == [1, 2, 3]
    assert assert_valid_snapshot(done).version == 4
    assert migrate(done, {}, to=4) == done


@pytest.mark.seed("AW-18", "AW-P5")
def test_on_a_mismatch_a_run_may_begin_anew_or_be_given_what_it_needs(old: dict[str, Any]) -> None:
    cleared = restore(old, version=2, on_version_mismatch="clear")
    assert cleared.history.checkpoints == ()
    assert (cleared.run.task_path, cleared.run.args) == (old["durable"]["task_path"], "[]")
    assert "it begins anew" in cleared.remarks[-1]
    given = restore(old, version=2, on_version_mismatch=remove_key("audit"))
    assert "step:audit" not in given.snapshot.steps
    assert given.snapshot.version == 2
    with pytest.raises(ValueError, match="on_version_mismatch"):
        restore(old, version=2, on_version_mismatch="shrug")


def test_what_a_migration_breaks_is_refused(old: dict[str, Any]) -> None:
    with pytest.raises(SnapshotFormat, match="order"):
        restore(old, version=2, migrations={1: lambda document: {**document, "steps": {}}})
