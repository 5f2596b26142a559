"""README and docs say only what is so: their code runs, their tables equal the code, their links lead somewhere."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from django_tasks_durable import conf
from django_tasks_durable.primitives.status import TRANSITIONS, RunStatus

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(?P<language>\w+)?(?: (?P<word>[\w-]+))?\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")


@dataclass(frozen=True)
class Block:
    """One code block of a page. `word` follows the language: `settings` or `no-run`."""

    page: Path
    line: int
    language: str
    word: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks() -> Iterator[Block]:
    """Give every code block of every page."""
    for page in PAGES:
        text = page.read_text()
        for match in FENCE.finditer(text):
            line = text[: match.start()].count("\n") + 1
            yield Block(page, line, match["language"] or "", match["word"] or "", match["code"])


PYTHON = [block for block in blocks() if block.language == "python"]


# One process sets Django up; a fork of it runs each block, in the module of a program, because a task is known by the module
# and name of its function.
RUNNER = """
import json, os, sys, tempfile, traceback
import django
django.setup()
for number, (name, code) in enumerate(json.load(sys.stdin)):
    with tempfile.TemporaryFile("w+") as told:
        if not (child := os.fork()):
            try:
                os.dup2(told.fileno(), 1), os.dup2(told.fileno(), 2)
                exec(compile(code, name, "exec"), globals())
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
            sys.stdout.flush()
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        told.seek(0)
        print(json.dumps([name, told.read() or f"status {status}" if status else ""]), flush=True)
"""


@cache
def blocks_run() -> dict[str, str]:
    """Run every block that is to run; return what was wrong with each, or nothing."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(ROOT)}
    outcome = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps([[str(block), block.code] for block in PYTHON if block.word == ""]),
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    return dict(json.loads(line) for line in outcome.stdout.splitlines())


# No database is asked: once is enough.
@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("block", [block for block in PYTHON if block.word == ""], ids=str)
def test_a_python_block_runs(block: Block) -> None:
    assert blocks_run()[str(block)] == ""


@pytest.mark.parametrize("block", [block for block in PYTHON if block.word == "no-run"], ids=str)
def test_a_python_block_that_needs_more_than_the_page_still_compiles(block: Block) -> None:
    compile(block.code, str(block), "exec")


@pytest.mark.parametrize("block", [block for block in PYTHON if block.word == "settings"], ids=str)
def test_a_settings_block_has_no_wrong_option(block: Block) -> None:
    namespace: dict[str, Any] = {}
    exec(compile(block.code, str(block), "exec"), namespace)
    for entry in namespace["TASKS"].values():
        assert conf.problems_in(entry.get("OPTIONS", {})) == []


def test_the_reference_lists_each_option_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", (ROOT / "docs/reference/settings.md").read_text(), re.MULTILINE))
    assert list(rows) == [field.name for field in fields(conf.Options)]
    for field in fields(conf.Options):
        if field.name != "redact_keys":
            told = ast.literal_eval(rows[field.name].strip("`"))
            assert conf.Options(**conf._coerced({field.name: told})) == conf.Options(), field.name


def test_the_reference_lists_each_status_with_its_moves() -> None:
    text = (ROOT / "docs/reference/states.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| .+? \| `\w+` \| (.+?) \|$", text, re.MULTILINE)
    said = {RunStatus(status): {RunStatus(word) for word in re.findall(r"`(\w+)`", moves)} for status, moves in rows}
    assert said == TRANSITIONS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    for target, heading in LINK.findall(page.read_text()):
        path = (page.parent / target) if target else page
        assert path.exists(), f"{page.name} links to {target}"
        if heading:
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", words).strip().lower().replace(" ", "-") for words in headings}
            assert heading in slugs, f"{page.name} links to {target}#{heading}"


def test_the_reference_lists_each_public_name() -> None:
    import django_tasks_durable

    listed = re.findall(
        r"^::: django_tasks_durable\.(\w+)$", (ROOT / "docs/reference/api.md").read_text(), re.MULTILINE
    )
    public = {name for name in django_tasks_durable.__all__ if not name.startswith("__")}
    assert set(listed) - {"exceptions", "testing"} == public


@pytest.mark.databases("sqlite")
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit_of_the_guide(tmp_path: Path) -> None:
    (unit,) = [block.code for block in blocks() if block.language == "ini" and "ExecStart" in block.code]
    file = tmp_path / "shop-tasks@1.service"
    file.write_text(unit)
    outcome = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_the_readme_holds_the_two_commands() -> None:
    commands = [line for block in blocks() if block.page.name == "README.md" for line in block.code.splitlines()]
    first = 'python3 -m venv .venv && .venv/bin/pip install -e ".[demo]" && .venv/bin/python manage.py demo'
    second = 'python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/python -m tests'
    assert [line for line in commands if line.startswith("python3 -m venv")] == [first, second]


@pytest.mark.parametrize("command", ["runtasks", "tasks", "demo"])
def test_a_command_that_the_pages_name_exists_and_explains_itself(command: str) -> None:
    from django.core.management import get_commands, load_command_class

    app = get_commands()[command]
    assert load_command_class(str(app), command).create_parser("manage.py", command).format_help()


def test_the_changelog_holds_this_version() -> None:
    from django_tasks_durable import __version__

    text = (ROOT / "CHANGELOG.md").read_text()
    wanted = "## [Unreleased]" if "dev" in __version__ else f"## [{__version__}]"
    assert wanted in text
