"""The settings and what is said about wrong ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings

from django_tasks_durable import conf
from django_tasks_durable.conf import InvalidOptions, Options, RetentionPolicy, durable_aliases, get_options

OURS = "django_tasks_durable.DurableBackend"


def tasks(**options: Any) -> Any:
    """Set TASKS to one alias of ours with these options."""
    return override_settings(TASKS={"default": {"BACKEND": OURS, "OPTIONS": options}})


def test_every_option_has_a_default() -> None:
    with override_settings(TASKS={"default": {"BACKEND": OURS}}):
        assert get_options("default") == Options()


def test_the_defaults_are_sound() -> None:
    assert conf.problems_in({name: getattr(Options(), name) for name in conf.option_names()}) == []


def test_a_given_option_replaces_the_default() -> None:
    with tasks(max_attempts=5, redact_keys=["pin"]):
        assert get_options("default").max_attempts == 5
        assert get_options("default").redact_keys == ("pin",)


def test_options_are_read_once_and_again_when_settings_change() -> None:
    with tasks(max_attempts=2):
        assert get_options("default") is get_options("default")
        with tasks(max_attempts=3):
            assert get_options("default").max_attempts == 3
        assert get_options("default").max_attempts == 2


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("max_attemps", "'max_attempts'"),
        ("lease_second", "'lease_seconds'"),
        ("heartbeat", "'heartbeat_seconds'"),
        ("databse", "'database'"),
        ("MAX_ATTEMPTS", "There are"),
        ("zzz", "There are async_concurrency, backoff"),
    ],
)
def test_an_unknown_option_is_named_with_the_nearest_right_one(name: str, hint: str) -> None:
    with tasks(**{name: 1}), pytest.raises(InvalidOptions, match=f"'{name}' is not an option") as caught:
        get_options("default")
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database", ""),
        ("database", None),
        ("max_attempts", 0),
        ("max_attempts", -1),
        ("max_attempts", True),
        ("max_attempts", "3"),
        ("max_attempts", 1.5),
        ("max_attempts", None),
        ("max_deliveries", 0),
        ("backoff", 5),
        ("lease_seconds", 0.5),
        ("lease_seconds", "30"),
        ("lease_seconds", float("nan")),
        ("heartbeat_seconds", 0),
        ("poll_seconds", 0),
        ("poll_seconds", -1),
        ("shutdown_seconds", -1),
        ("listen", "yes"),
        ("listen", 1),
        ("listen_database", ""),
        ("direct", "yes"),
        ("concurrency", 0),
        ("concurrency", 10_000),
        ("prefetch", -1),
        ("prefetch", True),
        ("max_payload_bytes", 0),
        ("max_run_steps", 0),
        ("max_run_lines", True),
        ("max_run_bytes", "1 GB"),
        ("middleware", "shop.middleware.tenant"),
        ("middleware", ["tenant"]),
        ("middleware", [5]),
        ("max_payload_bytes", 10 * 1024 * 1024 + 1),
        ("redact_keys", "password"),
        ("redact_keys", [1]),
    ],
)
def test_a_wrong_value_is_named(name: str, value: Any) -> None:
    with tasks(**{name: value}), pytest.raises(InvalidOptions) as caught:
        get_options("default")
    assert [problem.option for problem in caught.value.problems] == [name]
    assert caught.value.problems[0].hint.startswith("Give ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_deliveries", None),
        ("prefetch", 0),
        ("shutdown_seconds", 0),
        ("backoff", lambda exception, result: 1),
        ("listen_database", "replica"),
        ("max_payload_bytes", 10 * 1024 * 1024),
        ("max_run_steps", 1),
        ("max_run_lines", None),
        ("link_rate", None),
        ("redact_keys", ()),
        ("lease_seconds", 20),
    ],
)
def test_a_right_value_at_the_edge_is_taken(name: str, value: Any) -> None:
    with tasks(**{name: value}):
        assert getattr(get_options("default"), name) == value


def test_all_problems_are_told_at_once() -> None:
    with tasks(max_attemps=1, poll_seconds=0), pytest.raises(InvalidOptions) as caught:
        get_options("default")
    assert len(caught.value.problems) == 2


@pytest.mark.seed("TR-11")
def test_a_lease_must_outlive_a_missed_heartbeat() -> None:
    assert conf.problems_in({"lease_seconds": 20, "heartbeat_seconds": 10}) == []
    (problem,) = conf.problems_in({"lease_seconds": 19, "heartbeat_seconds": 10})
    assert "at least twice" in problem.hint


@pytest.mark.parametrize("options", [[], "x", 5])
def test_options_that_are_no_dict_are_told(options: Any) -> None:
    with (
        override_settings(TASKS={"default": {"BACKEND": OURS, "OPTIONS": options or [1]}}),
        pytest.raises(InvalidOptions),
    ):
        get_options("default")


def test_only_our_aliases_are_ours() -> None:
    from django_tasks_durable.compat import HAS_CORE_TASKS

    framework = "django.tasks" if HAS_CORE_TASKS else "django_tasks"
    settings = {
        "default": {"BACKEND": OURS},
        "dummy": {"BACKEND": f"{framework}.backends.dummy.DummyBackend"},
        "second": {"BACKEND": "django_tasks_durable.backend.DurableBackend"},
        "lost": {"BACKEND": "does.not.exist"},
        "empty": {},
    }
    with override_settings(TASKS=settings):
        assert durable_aliases() == ["default", "second"]


@pytest.mark.parametrize("setting", [{}, None, []])
def test_no_tasks_at_all_is_no_error(setting: Any) -> None:
    with override_settings(TASKS=setting):
        assert durable_aliases() == []
        assert get_options("default") == Options()


def test_an_alias_that_is_gone_has_the_defaults() -> None:
    with tasks():
        assert get_options("was-here-once") == Options()


def test_options_of_another_backend_are_not_judged() -> None:
    with override_settings(TASKS={"default": {"BACKEND": "does.not.exist", "OPTIONS": {"anything": 1}}}):
        assert get_options("default") == Options()


@pytest.mark.parametrize(
    ("retention", "said"),
    [
        (5, "it is a int, not a dict"),
        ({"succesful": 5}, "Did you mean 'successful'?"),
        ({"failed": -1}, "its 'failed' is -1"),
        ({"failed": "7d"}, "its 'failed' is '7d'"),
        ({"latest": 0}, "its 'latest' is 0"),
        ({"steps": 1.5}, "its 'steps' is 1.5"),
    ],
)
def test_a_retention_that_makes_no_sense_is_told(retention: Any, said: str) -> None:
    with tasks(retention=retention), pytest.raises(InvalidOptions) as caught:
        get_options("default")
    assert said in caught.value.problems[0].message


def test_a_retention_may_be_given_in_days() -> None:
    with tasks(retention={"failed": timedelta(days=1), "latest": 5}):
        assert get_options("default").retention == RetentionPolicy(failed=86_400.0, latest=5)
