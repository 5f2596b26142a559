"""What one brand of database does, or is told, beside what all do."""

from __future__ import annotations

import contextlib

import pytest
from django.db import connection, transaction

from django_tasks_durable.store import vendors, workers
from django_tasks_durable.store.vendors import brands, fitness
from tests.faults.harness import wait_until
from tests.pages import ROOT, blocks_of
from tests.probe import effects
from tests.store import acts


@pytest.mark.databases("mysql")
def test_the_indexes_lead_with_the_status(session: vendors.Session) -> None:
    rows = session.execute(
        "SELECT index_name, GROUP_CONCAT(column_name ORDER BY seq_in_index) FROM information_schema.statistics "
        "WHERE table_schema = DATABASE() AND table_name = 'durable_tasks_taskrun' GROUP BY index_name"
    )

    assert dict(rows) == {
        "PRIMARY": "id",
        "dtd_run_ready": "status,queue_name,ready_rank,lane,due_at,id",
        "dtd_run_slots": "slots",
        "dtd_run_leased": "status,lease_worker",
        "dtd_run_deadline": "status,due_at",
        "dtd_run_attention": "status,id",
        "dtd_run_children": "status,parent_id",
    }


@pytest.mark.databases("mysql")
@pytest.mark.django_db(transaction=True)
def test_the_settings_of_the_guide_leave_nothing_to_find() -> None:
    (code,) = [block.code for block in blocks_of(ROOT / "docs/guide/mariadb.md") if block.word == "settings"]
    exec(code, settings := {})
    asked = {"listens": True, "lease_seconds": 30.0, "payload_bytes": 262_144}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 50")  # as a server comes
            assert [finding.id for finding in fitness.by_asking(connection, **asked)] == ["W010"]
            cursor.execute(settings["DATABASES"]["default"]["OPTIONS"]["init_command"])
        assert fitness.by_asking(connection, **asked) == []
    finally:
        connection.close()


@pytest.mark.databases("postgresql")
def test_the_hot_table_keeps_room_for_updates(session: vendors.Session) -> None:
    ((options,),) = session.execute("SELECT reloptions FROM pg_class WHERE relname = 'durable_tasks_taskrun'")

    assert "fillfactor=50" in options
    assert any(option.startswith("autovacuum_vacuum_scale_factor") for option in options)


@pytest.mark.databases("postgresql", "sqlite")
def test_an_ordinary_finished_run_is_in_no_index_but_its_key(session: vendors.Session) -> None:
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, "durable_tasks_taskrun")
    names = {name for name, about in found.items() if about["index"]}
    catalogue = {
        "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'durable_tasks_taskrun'",
        "sqlite": "SELECT name, sql FROM sqlite_master WHERE tbl_name = 'durable_tasks_taskrun' AND type = 'index'",
    }
    for name, definition in session.execute(catalogue[connection.vendor]):
        if name in names and name.startswith("dtd_"):
            assert "WHERE" in definition, f"{name} holds every run"


def test_the_clock_of_the_database_is_in_utc_and_fine_grained(session: vendors.Session) -> None:
    from datetime import UTC, datetime, timedelta

    moments = {session.now_at() for _ in range(50)}
    assert all(abs(moment - datetime.now(UTC)) < timedelta(minutes=5) for moment in moments)
    assert any(moment.microsecond % 1_000_000 for moment in moments)


@pytest.mark.django_db(transaction=True)
@pytest.mark.databases("postgresql", "mysql")
def test_a_transaction_that_stands_still_is_ended_and_its_locks_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brands, "IDLE_SECONDS", 1.0)
    stuck, other = vendors.private_session(), vendors.private_session()
    workers.register(other, "w", queues=None, concurrency=1, lease_seconds=30)
    free = f"SELECT id FROM {workers.WORKERS} WHERE id = 'w'{other.brand.lock_worker}"
    try:
        with contextlib.suppress(Exception), stuck.transaction():
            stuck.execute(f"SELECT id FROM {workers.WORKERS} WHERE id = 'w' FOR UPDATE")
            assert other.execute(free) == []
            wait_until(lambda: other.execute(free), "the server ends the transaction", seconds=20)
            raise LookupError
        assert other.execute(free)
    finally:
        stuck.close()
        other.close()


@pytest.mark.databases("postgresql")
def test_the_statements_that_run_all_the_time_are_prepared_where_no_pooler_stands_between(
    session: vendors.Session,
) -> None:
    acts.enqueue()
    acts.enqueue()

    prepared = session.execute("SELECT statement FROM pg_prepared_statements")
    assert any("INSERT INTO durable_tasks_taskrun" in statement for (statement,) in prepared)


@pytest.mark.databases("postgresql")
@pytest.mark.django_db(transaction=True)
def test_a_statement_in_a_transaction_that_has_not_begun_commits_by_itself() -> None:
    brand = vendors.session().brand
    connection.ensure_connection()
    with transaction.atomic():
        with brand.without_beginning(connection):
            effects.record("alone")
        with contextlib.closing(vendors.private_session()) as other:
            assert other.execute("SELECT count(*) FROM probe_effect WHERE name = 'alone'") == [(1,)]

    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        effects.record("begins")
        with brand.without_beginning(connection):
            effects.record("rides along")
        raise ZeroDivisionError

    assert (effects.times("alone"), effects.times("begins"), effects.times("rides along")) == (1, 0, 0)
    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        effects.record("rolled back")
        raise ZeroDivisionError
    assert effects.times("rolled back") == 0
