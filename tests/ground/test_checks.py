"""What `manage.py check` says about settings, without a database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.test import override_settings

from django_tasks_durable import checks as house_checks
from django_tasks_durable import cron, task
from django_tasks_durable.authoring import registry
from django_tasks_durable.checks import deployment
from django_tasks_durable.compat import TASKS_LOGGER, Task, restore
from django_tasks_durable.store.vendors import fitness
from tests.probe import tasks

OURS = "django_tasks_durable.DurableBackend"


def said(entry: dict[str, Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Return what the checks say about an entry of TASKS."""
    with override_settings(TASKS={"default": {"BACKEND": OURS, **(entry or {})}}):
        return [message for message in run_checks(**kwargs) if (message.id or "").startswith("durable_tasks.")]


def ids(messages: list[CheckMessage]) -> list[str]:
    """Return the last part of each id."""
    return [str(message.id).rpartition(".")[2] for message in messages]


def test_a_right_setting_is_silent() -> None:
    assert said({"QUEUES": ["default", "reports"], "OPTIONS": {"max_attempts": 3}}) == []


@pytest.mark.parametrize(
    ("entry", "message", "hint"),
    [
        ({"OPTIONS": {"max_atempts": 3}}, "'max_atempts' is not an option", "Did you mean 'max_attempts'?"),
        ({"OPTIONS": {"max_attempts": "3"}}, "'max_attempts' is '3'", "Give a whole number from 1"),
        ({"OPTIONS": {"lease_seconds": 5}}, "misses one heartbeat", "at least twice"),
        ({"OPTIONS": ["database"]}, "It is a list, not a dict", "Use a dict"),
        ({"OPTION": {}}, "unknown key 'OPTION'", "Did you mean 'OPTIONS'?"),
        ({"max_attempts": 3}, "unknown key 'max_attempts'", "Move it into"),
        ({"QUEUES": "default"}, "['QUEUES'] is 'default'", "Give a list of names"),
        ({"QUEUES": [1]}, "['QUEUES'] is [1]", "Give a list of names"),
        ({"QUEUES": None}, "['QUEUES'] is None", "Give a list of names"),
        ({"QUEUES": 5}, "['QUEUES'] is 5", "Give a list of names"),
    ],
)
def test_a_wrong_entry_is_an_error_with_a_hint(entry: dict[str, Any], message: str, hint: str) -> None:
    (found,) = said(entry)
    assert (found.id, found.is_serious()) == ("durable_tasks.E004", True)
    assert message in found.msg
    assert hint in (found.hint or "")


@pytest.mark.parametrize("name", ["database", "listen_database"])
def test_an_unknown_database_is_an_error(name: str) -> None:
    (found,) = said({"OPTIONS": {name: "defualt"}})
    assert found.id == "durable_tasks.E006"
    assert "Did you mean 'default'?" in (found.hint or "")


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("no.such.middleware", "'no.such.middleware' cannot be imported", "Give the dotted path"),
        ("tests.engine.wrappers.missing", "'tests.engine.wrappers.missing' cannot be imported", "Give the dotted path"),
        ("tests.engine.wrappers.HEARD", "cannot be called", "Give a function of get_outcome"),
        ("tests.engine.wrappers.sync_only", "synchronous only", "sync_and_async_middleware"),
    ],
)
def test_a_middleware_that_cannot_be_used_is_an_error(path: str, message: str, hint: str) -> None:
    (found,) = said({"OPTIONS": {"middleware": [path]}})
    assert (found.id, found.is_serious()) == ("durable_tasks.E030", True)
    assert message in found.msg
    assert hint in (found.hint or "")


def test_every_wrong_option_is_told_at_once() -> None:
    assert ids(said({"OPTIONS": {"a": 1, "b": 2, "poll_seconds": 0}})) == ["E004"] * 3


def test_a_missing_app_is_an_error(settings: Any) -> None:
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if "durable" not in app and "probe" not in app]
    from django_tasks_durable.compat import task_backends

    (found,) = task_backends["default"].check()
    assert found.id == "durable_tasks.E001"
    assert "INSTALLED_APPS" in found.hint


def test_naive_time_is_a_warning() -> None:
    with override_settings(USE_TZ=False):
        assert ids(said()) == ["W014"]


class NoTables:
    """A router that lets no table of ours be made."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if app_label == "durable_tasks" else None


def test_a_router_that_keeps_our_tables_away_is_an_error() -> None:
    with override_settings(DATABASE_ROUTERS=[f"{__name__}.NoTables"]):
        assert ids(said()) == ["E007"]


def test_armed_faults_are_an_error_on_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DURABLE_FAULTS", "after_claim:kill:1")
    assert "E023" in ids(said(include_deployment_checks=True))
    assert said() == []


def test_a_task_of_the_started_program_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    task: Task[..., Any] = restore(tasks.add, func=lambda: 0)
    task.func.__module__, task.func.__qualname__ = "__main__", "lost"
    monkeypatch.setattr(registry, "_tasks", {**registry._tasks, "__main__.lost": task})
    (found,) = house_checks.definitions.check_tasks()
    assert found.id == "durable_tasks.W007"
    assert "__main__.lost" in found.msg


def called(name: str) -> None: ...


def other(context: Any) -> None: ...


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({"schedule": cron("0 6 * * *", args=["x"])}, []),
        ({"schedule": cron("0 6 * * *", kwargs={"name": "x"})}, []),
        ({"schedule": cron("0 6 * * *")}, ["E026"]),
        ({"schedule": cron("0 6 * * *", args=["x", "y"])}, ["E026"]),
        ({"schedule": [cron("0 6 * * *", args=["x"], name="a"), cron("0 7 * * *", args=["x"], name="a")]}, ["E024"]),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_an_error(
    declared: dict[str, Any], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_tasks", {})
    task(**declared)(called)
    assert ids(said()) == expected


def test_a_context_is_no_argument_of_a_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_tasks", {})
    task(schedule=cron("0 6 * * *"))(other)
    assert said() == []


def test_a_schedule_of_another_backend_is_an_error(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    dummy = f"{TASKS_LOGGER}.backends.dummy.DummyBackend"
    settings.TASKS = {"default": {"BACKEND": OURS}, "dummy": {"BACKEND": dummy}}
    monkeypatch.setattr(registry, "_tasks", {})
    task(schedule=cron("0 6 * * *"), backend="dummy")(other)
    assert ids(house_checks.check_schedules()) == ["E025"]


class Connection:
    """What a check looks at of a connection."""

    def __init__(self, vendor: str, name: str = "db", **options: Any) -> None:
        self.vendor = vendor
        self.settings_dict = {"NAME": name, "OPTIONS": options}


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        (Connection("oracle"), ["E008"]),
        (Connection("sqlite", ":memory:"), ["W002"]),
        (Connection("sqlite", "file:mine?mode=memory&cache=shared"), ["W002"]),
        # Django's own database for tests, which are run with checks.
        (Connection("sqlite", "file:memorydb_default?mode=memory&cache=shared"), []),
        (Connection("sqlite", "/data/db.sqlite3"), []),
        (Connection("postgresql", pool=True), ["W003"]),
        (Connection("postgresql", pool={"min_size": 2, "max_size": 6}), ["W003"]),
        (Connection("postgresql", pool={"max_size": 7}), []),
        (Connection("postgresql"), []),
        (Connection("mysql"), []),
    ],
)
def test_a_database_is_judged_by_its_settings(connection: Any, expected: list[str]) -> None:
    assert [finding.id for finding in fitness.by_settings(connection, threads=4)] == expected


class Asked(Connection):
    """A connection whose server answers what it is told to."""

    def __init__(self, vendor: str, answers: dict[str, Any], **attributes: Any) -> None:
        super().__init__(vendor)
        self.answers = answers
        self.__dict__.update(attributes)

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        yield self

    def execute(self, sql: str) -> None:
        self.asked = sql

    def fetchone(self) -> Any:
        return (self.answers[self.asked],)


def postgresql(version: str = "150004", encoding: str = "UTF8", pooled: bool = False) -> Asked:
    """Be a PostgreSQL server."""
    # Its process is number 7, and so says whoever answers the connection, unless that is a pooler.
    raw = SimpleNamespace(info=SimpleNamespace(backend_pid=99 if pooled else 7), cursor=lambda: raw)
    raw.execute = lambda sql: SimpleNamespace(fetchone=lambda: (7,))
    return Asked(
        "postgresql",
        {"SHOW server_version_num": version, "SHOW server_encoding": encoding},
        connection=raw,
        ensure_connection=lambda: None,
    )


def sqlite(version: str = "3.37.0", journal: str = "wal") -> Asked:
    """Be SQLite."""
    return Asked("sqlite", {"SELECT sqlite_version()": version, "PRAGMA journal_mode": journal})


def mysql(
    version: tuple[int, ...], mariadb: bool, engine: str = "InnoDB", charset: str = "utf8mb4", **limits: int
) -> Asked:
    """Be a MariaDB or MySQL server."""
    answers = {
        "SELECT @@default_storage_engine": engine,
        "SELECT @@character_set_database": charset,
        "SELECT @@innodb_lock_wait_timeout": limits.get("lock_wait", 10),
        "SELECT @@max_allowed_packet": limits.get("packet", 524_288),
        fitness.STRAY_TABLES: limits.get("strays", 0),
    }
    return Asked("mysql", answers, mysql_version=version, mysql_is_mariadb=mariadb)


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        (postgresql(), []),
        (postgresql(version="140012"), ["E008"]),
        (postgresql(encoding="SQL_ASCII"), ["W004"]),
        (sqlite(), []),
        (sqlite(version="3.36.1"), ["E008"]),
        (sqlite(version="3.100.0"), []),
        (sqlite(journal="delete"), ["W001"]),
        (sqlite(journal="memory"), []),
        (mysql((10, 6, 0), True), []),
        (mysql((10, 5, 9), True), ["E008"]),
        (mysql((8, 0, 11), False), []),
        (mysql((5, 7, 44), False), ["E008"]),
        (mysql((11, 4, 2), True, engine="MyISAM"), ["E008"]),
        (mysql((11, 4, 2), True, charset="latin1"), ["W004"]),
        (mysql((11, 4, 2), True, strays=1), ["E008"]),
        (mysql((11, 4, 2), True, lock_wait=11), ["W010"]),
        (mysql((11, 4, 2), True, packet=524_287), ["W011"]),
        (postgresql(pooled=True), ["W009"]),
        (Connection("oracle"), []),
    ],
)
def test_a_server_is_judged_by_its_own_word(connection: Any, expected: list[str]) -> None:
    found = fitness.by_asking(connection, listens=True, lease_seconds=30, payload_bytes=262_144)
    assert [finding.id for finding in found] == expected
    assert all(finding.hint for finding in found)


def test_a_pooler_is_nothing_to_workers_that_do_not_listen_through_it() -> None:
    assert fitness.by_asking(postgresql(pooled=True), listens=False, lease_seconds=30, payload_bytes=1) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ["I019"]),
        ({"retention": {"successful": 86_400}}, []),
        ({"retention": {"successful": 1}, "base_url": "http://shop.example"}, ["W018"]),
        ({"retention": {"successful": 1}, "base_url": "https://shop.example"}, ["I044"]),
    ],
)
def test_what_surrounds_the_tasks_is_looked_at_before_it_goes_to_production(
    change: dict[str, Any], expected: list[str], settings: Any
) -> None:
    settings.TASKS = {"default": {"BACKEND": OURS, "OPTIONS": change}}
    settings.ALLOWED_HOSTS = ["shop.example"]
    assert ids(deployment.check_surroundings()) == expected
    settings.ALLOWED_HOSTS = ["*"]
    assert ids(deployment.check_surroundings()) == ["W021", *expected]


@pytest.mark.parametrize(
    "change",
    [
        {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")},
        {"CSRF_TRUSTED_ORIGINS": ["https://shop.example"]},
        {"CSRF_TRUSTED_ORIGINS": ["https://*.example"]},
    ],
)
def test_https_that_django_knows_of_is_silent(change: dict[str, Any], settings: Any) -> None:
    told = {"retention": {"successful": 1}, "base_url": "https://shop.example"}
    settings.TASKS = {"default": {"BACKEND": OURS, "OPTIONS": told}}
    settings.ALLOWED_HOSTS = ["shop.example"]
    settings.CSRF_TRUSTED_ORIGINS = ["http://shop.example", "https://other.example"]
    assert ids(deployment.check_surroundings()) == ["I044"]
    for name, value in change.items():
        setattr(settings, name, value)
    assert ids(deployment.check_surroundings()) == []


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
filer:/data /srv/data nfs4 rw 0 0
/dev/sdb1 /srv/data/fast xfs rw 0 0
//filer/share /mnt/share cifs rw 0 0
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/srv/data/db.sqlite3", ["W043"]),
        ("/mnt/share/deep/db.sqlite3", ["W043"]),
        ("/srv/data/fast/db.sqlite3", []),
        ("/srv/database.sqlite3", []),
        ("/var/db.sqlite3", []),
    ],
)
def test_a_sqlite_file_on_a_network_disk_is_warned_of(
    name: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    monkeypatch.setattr(fitness, "MOUNTS", tmp_path / "mounts")
    connection: Any = Connection("sqlite", name)
    assert [finding.id for finding in fitness.by_settings(connection, threads=4)] == expected
    monkeypatch.setattr(fitness, "MOUNTS", tmp_path / "no such file")
    assert fitness.by_settings(connection, threads=4) == []


def test_owners_without_a_rule_who_sees_what_are_warned_of() -> None:
    names = {"enqueue_as": "tests.doors.tenants.into_their_queue", "visible_to": "tests.doors.tenants.of_their_own"}
    asked = {"include_deployment_checks": True}
    assert "W039" in ids(said({"OPTIONS": {"enqueue_as": names["enqueue_as"]}}, **asked))
    assert "W039" not in ids(said({"OPTIONS": names}, **asked))
    assert "W039" not in ids(said({"OPTIONS": {}}, **asked))


@pytest.mark.parametrize(
    ("version", "is_mended"), [((5, 2, 7), False), ((5, 2, 8), True), ((6, 0, 0), True), ((6, 1, 0), True)]
)
def test_a_django_with_a_known_hole_is_warned_of(
    version: tuple[int, ...], is_mended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django.VERSION", (*version, "final", 0))
    assert ("W020" in ids(deployment.check_surroundings())) is not is_mended


def test_no_two_checks_share_an_id_across_files() -> None:
    """An id is what somebody silences: one that means two things silences both."""
    package = Path(house_checks.__file__).parent
    used = [
        (id, file.name)
        for file in [*package.glob("*.py"), package.parent / "backend" / "advice.py", Path(fitness.__file__)]
        for id in set(re.findall(r"[EWI]0\d\d", file.read_text()))
    ]
    assert sorted(id for id, _ in used) == sorted({id for id, _ in used})


@pytest.mark.parametrize(
    "options",
    [
        {"visible_to": "tests.nowhere.at_all"},
        {"redact": "tests.ground.test_checks.OURS"},
        {"enqueue_as": "tests.ground.test_checks.no_such_name"},
        {"rest": {"permissions": ["rest_framework.permissions.IsAuthentic"]}},
    ],
    ids=str,
)
def test_what_a_door_cannot_call_is_an_error(options: dict[str, Any]) -> None:
    (found,) = said({"OPTIONS": options})
    assert (found.id, found.is_serious()) == ("durable_tasks.E035", True)


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ({"write_rat": "1/s"}, "Did you mean 'write_rate'?"),
        ({"write_rate": "often"}, "a rate such as '60/min'"),
        ({"write_rate": 5}, "a rate such as '60/min'"),
        ({"permissions": "rest_framework.permissions.AllowAny"}, "a list of dotted paths"),
        ({"authentication": [7]}, "a list of dotted paths"),
        ("open", "it is a str, not a dict"),
    ],
    ids=str,
)
def test_what_rest_cannot_ask_for_is_an_error(rest: Any, message: str) -> None:
    (found,) = said({"OPTIONS": {"rest": rest}})
    assert found.id == "durable_tasks.E004"
    assert message in found.msg


def test_exposing_what_there_is_not_is_warned_of() -> None:
    (found,) = said({"OPTIONS": {"expose": ["tests.probe.tasks.*", "tests.probe.tasks.eco"]}})
    assert found.id == "durable_tasks.W036"
    assert "tests.probe.tasks.eco" in found.msg
    assert "tests.probe.tasks.echo" in (found.hint or "")


def test_rest_without_authentication_or_limit_is_warned_of_before_it_goes_to_production() -> None:
    def warned(rest: dict[str, Any]) -> list[str]:
        found = ids(said({"OPTIONS": {"rest": rest}}, include_deployment_checks=True))
        return [each for each in found if each in {"W037", "W038"}]

    assert warned({"authentication": []}) == ["W037"]
    assert warned({"write_rate": None}) == warned({"throttles": []}) == ["W038"]
    assert warned({}) == []
    assert said({"OPTIONS": {"rest": {"authentication": []}}}) == []
