"""Who comes from another system is told words that there are."""

from __future__ import annotations

import ast
import builtins
import re
from dataclasses import fields
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

import django_tasks_durable
from django_tasks_durable import DurableTask, Workflow, channel, conf, exceptions, signals, testing
from django_tasks_durable.authoring.keys import KEY_NAMES
from django_tasks_durable.authoring.options import TaskOptions
from django_tasks_durable.authoring.words import ALIASES, OF_A_CONTEXT
from django_tasks_durable.backend.results import DurableTaskResult
from django_tasks_durable.engine.context import DurableContext
from django_tasks_durable.engine.steps import OPTIONS as OF_A_STEP
from tests.pages import ROOT

PAGES = sorted((ROOT / "docs/coming-from").glob("*.md"))
ROW = re.compile(r"^\| (?!There|Celery|-).+? \| (.+) \|$", re.MULTILINE)
PACKAGE = "django_tasks_durable"
# Whose words those are that stand before a dot.
OWNERS: dict[str, Any] = {
    "context": DurableContext, "result": DurableTaskResult, "task": DurableTask, "X": Workflow, "channel": channel,
    "testing": testing, "signals": signals,
}  # fmt: skip
OF_A_WORKFLOW = OF_A_CONTEXT | {*ALIASES, *dir(Workflow), "state", "finish"}
OF_A_TASK = {field.name for field in fields(DurableTask)} | {field.name for field in fields(TaskOptions)} | {*KEY_NAMES}
KEYWORDS = OF_A_TASK | {*OF_A_STEP, "schedule", "audit"}


def spans() -> list[Any]:
    """Return what stands in code on our side of each table."""
    return [
        pytest.param(span, id=f"{page.stem}: {span}")
        for page in PAGES
        for cell in ROW.findall(page.read_text())
        for span in re.findall(r"`([^`]+)`", cell.split(" | ")[-1])
    ]


def unknown(code: str) -> list[str]:
    """Tell which words of ours a piece of code says that there are not."""
    if re.fullmatch(r"\w+=", code):
        return [] if code[:-1] in KEYWORDS else [code]
    if code.startswith("with ") or code.startswith("for "):
        code = code.rstrip(":") + ": ..."
    if code.startswith("."):
        code = f"task{code}"
    try:
        tree = ast.parse(f"{code}\ndef it(): ..." if code.startswith("@") else code)
    except SyntaxError:
        return []  # a command line, an address, an element: others look at those
    return [wrong for node in ast.walk(tree) if (wrong := _unknown(node))]


def _unknown(node: ast.AST) -> str:
    match node:
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            # `self.b` and `self.state.x` are the reader's own.
            return "" if name in OF_A_WORKFLOW or len(name) == 1 else f"self.{name}"
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in OWNERS:
            return "" if hasattr(OWNERS[owner], name) else f"{owner}.{name}"
        case ast.Attribute() if (path := ast.unparse(node)).startswith(("snapshots.", "live.")):
            return "" if _is_there(path) else path
        case ast.Subscript(value=ast.Name(id="OPTIONS"), slice=ast.Constant(value=name)):
            return "" if name in {field.name for field in fields(conf.Options)} else f"OPTIONS[{name!r}]"
        case ast.Call(func=ast.Attribute(attr="using") | ast.Name(id="task"), keywords=keywords):
            return ", ".join(each.arg for each in keywords if each.arg and each.arg not in KEYWORDS)
        case ast.Assign(targets=[ast.Name(id=name)]):
            return "" if name in KEYWORDS else name
        case ast.Call(func=ast.Name(id=name)) | ast.Name(id=name, ctx=ast.Load()) if isinstance(
            node, ast.Call
        ) or _is_a_name_of_ours(name):
            known = hasattr(exceptions, name) or name in django_tasks_durable.__all__ or hasattr(builtins, name)
            return "" if known or name in {"X", "State", "OPTIONS", "TASKS"} | THEIRS else name
    return ""


# Names of Django's, and of what a page has just told.
THEIRS = {"ImmediateBackend", "App", "timedelta", "task_started", "task_finished", "default_task_backend", "run_id"}


def _is_a_name_of_ours(name: str) -> bool:
    return name[:1].isupper() or "_" in name


def _is_there(path: str) -> bool:
    try:
        resolve_name(f"{PACKAGE}.{path}")
    except (ImportError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("span", spans())
def test_a_word_of_ours_is_there(span: str) -> None:
    assert unknown(span) == []


@pytest.mark.parametrize(
    "code",
    ["context.setp('a')", "result.cancle()", "SliceResults", "@task(max_atempts=3)", "signals.ended", "live.hub.Hubb",
     ".using(dedup_key='a')", "OPTIONS['retain']", "retry_after=", "merge_snapshot(a)", "merge_snapshot", "max_attempt=3",
     "self.waits_ms('a', 1)"],
)  # fmt: skip
def test_a_word_that_is_not_there_is_found_out(code: str) -> None:
    assert unknown(code)


def test_every_page_is_looked_at() -> None:
    assert [page.name for page in PAGES if not ROW.findall(Path(page).read_text())] == []
