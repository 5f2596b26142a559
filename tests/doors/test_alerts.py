"""The alert rules of the guide: every rule is whole, and every figure that it asks for is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from django_tasks_durable.live import hub
from django_tasks_durable.live.hub import HubStatus

from .rows import a_run, a_worker

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
pytestmark = pytest.mark.django_db

FILE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "files" / "alerts.yml"
NAME = re.compile(r"\bdurable_tasks_\w+")
SELECTED = re.compile(r'(durable_tasks_\w+)\{(\w+)="(\w+)"\}')
DURATION = re.compile(r"\d+[smhd]")


def rules() -> list[dict[str, Any]]:
    """Read the rules."""
    (group,) = yaml.safe_load(FILE.read_text())["groups"]
    assert set(group) == {"name", "rules"}
    return list(group["rules"])


@pytest.fixture
def figures(root: Client, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a scraper is told where there is a run, a worker and a hub."""
    monkeypatch.setattr(hub, "statuses", lambda: [HubStatus("default", "listen", False, 0, 0)])
    a_run(), a_worker()
    return str(root.get("/api/tasks/metrics/").content.decode())


def test_each_figure_of_a_rule_is_told(figures: str) -> None:
    asked = {name for rule in rules() for name in NAME.findall(rule["expr"])}
    told = set(re.findall(r"^(\w+)(?:\{| )", figures, re.MULTILINE))
    assert len(asked) >= 10
    assert asked <= told, asked - told


def test_each_label_that_a_rule_selects_by_is_told(figures: str) -> None:
    for rule in rules():
        for name, label, value in SELECTED.findall(rule["expr"]):
            assert re.search(rf'^{name}\{{[^}}]*{label}="{value}"', figures, re.MULTILINE), (
                rule["alert"],
                name,
                label,
                value,
            )


def test_each_rule_is_whole_and_says_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert re.fullmatch(r"[A-Za-z]+", rule["alert"])
        assert DURATION.fullmatch(rule["for"])
        assert rule["labels"]["severity"] in ("page", "warn")
        assert len(rule["annotations"]["description"]) > 20
        for opening, closing in ("()", "{}", "[]"):
            assert rule["expr"].count(opening) == rule["expr"].count(closing)


def test_the_figures_that_must_be_watched_have_a_rule() -> None:
    asked = {name for rule in rules() for name in NAME.findall(rule["expr"])}
    for name in (
        "oldest_due_seconds",
        "oldest_expired_lease_seconds",
        "heartbeat_failures",
        "workers_deaf",
        "live_degraded",
    ):
        assert f"durable_tasks_{name}" in asked
