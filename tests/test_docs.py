"""README and docs say only what is so: their code runs, their tables equal the code, their links lead somewhere."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
from django.apps import apps
from django.dispatch import Signal

from django_tasks_durable import conf, signals, task
from django_tasks_durable.authoring.keys import KEY_NAMES
from django_tasks_durable.authoring.options import NAMES
from django_tasks_durable.authoring.tasks import DECORATOR_NAMES, DJANGO_NAMES
from django_tasks_durable.primitives.status import TRANSITIONS, RunStatus
from tests import glossary, reference
from tests.pages import PAGES, ROOT, blocks
from tests.probe.tasks import echo

LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")


def test_the_reference_lists_each_option_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", (ROOT / "docs/reference/settings.md").read_text(), re.MULTILINE))
    assert list(rows) == [field.name for field in fields(conf.Options)]
    for field in fields(conf.Options):
        if field.name != "redact_keys":
            told = ast.literal_eval(rows[field.name].strip("`"))
            assert conf.Options(**conf._coerced({field.name: told})) == conf.Options(), field.name


def test_the_reference_lists_each_option_of_a_task() -> None:
    page = (ROOT / "docs/reference/task-options.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (yes)? ?\| (yes)? ?\| .+ \|$", page, re.MULTILINE)
    given = {*DECORATOR_NAMES, *inspect.signature(task).parameters} - {"function", "options"}
    changed = {*DJANGO_NAMES, *KEY_NAMES, *(name for name in NAMES if not _belongs_to_a_task(name))}
    assert {name for name, at_task, _ in rows if at_task} == given
    assert {name for name, _, at_call in rows if at_call} == changed


def _belongs_to_a_task(name: str) -> bool:
    try:
        echo.using(**{name: getattr(echo.options, name)})
    except TypeError as error:
        return "belongs to a task" in str(error)
    return False


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


@pytest.mark.parametrize("name", reference.PARTS)
def test_what_is_drawn_from_the_code_is_as_the_code_is(name: str) -> None:
    has, should = reference.drawn(name)
    assert has == should, "run: python -m tests.reference"


def test_each_table_is_a_word_of_the_glossary() -> None:
    tables = {model for model in apps.get_app_config("durable_tasks").get_models() if model._meta.managed}
    assert tables - {glossary.place(path) for path in glossary.WORDS.values()} == set()


def test_each_word_of_the_glossary_says_what_it_is() -> None:
    assert [row for row in glossary.lines() if "|  |" in row] == []


def test_the_reference_lists_each_check() -> None:
    source = "".join(path.read_text() for path in (ROOT / "django_tasks_durable").rglob("*.py"))
    known = set(re.findall(r'id="(?:durable_tasks\.)?([EWI]\d{3})"', source))
    rows = re.findall(
        r"^\| `([EWI]\d{3})` \| .+ \| .+ \| .+ \|$", (ROOT / "docs/reference/checks.md").read_text(), re.MULTILINE
    )
    assert sorted(rows) == sorted(known)


def test_a_page_names_no_check_that_there_is_not() -> None:
    known = set(re.findall(r"^\| `([EWI]\d{3})`", (ROOT / "docs/reference/checks.md").read_text(), re.MULTILINE))
    for page in PAGES:
        if page.name == "CHANGELOG.md":  # tells of former ones, too
            continue
        assert set(re.findall(r"\b([EWI]0\d\d)\b", page.read_text())) <= known, page.name


def test_the_reference_lists_each_signal() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+ \| .+ \|$", (ROOT / "docs/reference/signals.md").read_text(), re.MULTILINE)
    assert set(rows) == {name for name, value in vars(signals).items() if isinstance(value, Signal)}


@pytest.mark.databases("sqlite")
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit_of_the_guide(tmp_path: Path) -> None:
    (unit,) = [block.code for block in blocks() if block.language == "ini" and "ExecStart" in block.code]
    file = tmp_path / "shop-tasks@1.service"
    file.write_text(unit)
    outcome = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_the_index_leads_to_every_page() -> None:
    index = ROOT / "docs/index.md"
    led = {(index.parent / target).resolve() for target, _ in LINK.findall(index.read_text())}
    assert [str(page.relative_to(ROOT)) for page in PAGES if page != index and page not in led] == []


def test_each_page_ends_with_where_to_go_next() -> None:
    rooms = ("guide", "explanation", "examples", "coming-from")
    pages = [page for page in PAGES if page.parent.name in rooms and page.name != "faults.md"]  # which a command writes
    assert [page.name for page in pages if not re.match(r"Next: .*\]\(", page.read_text().splitlines()[-1])] == []


@pytest.mark.parametrize(
    "page",
    [*sorted((ROOT / "docs/contributing").glob("*.md")), *(ROOT / "docs/adr").glob("*-what-is-written-by-hand.md")],
    ids=lambda page: page.stem,
)
def test_a_note_for_contributors_names_what_there_is(page: Path) -> None:
    named = re.findall(r"`([\w./-]+(?:\.\w+|/))`", page.read_text())
    places = [ROOT, ROOT / "django_tasks_durable"]
    assert [name for name in named if "/" in name and not any((place / name).exists() for place in places)] == []


def test_the_decisions_are_numbered_without_a_gap() -> None:
    pages = sorted((ROOT / "docs/adr").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    assert [page.read_text().split()[1] for page in pages] == [f"{number}." for number in range(1, len(pages) + 1)]


def test_the_readme_holds_the_two_commands() -> None:
    commands = [line for block in blocks() if block.page.name == "README.md" for line in block.code.splitlines()]
    first = 'python3 -m venv .venv && .venv/bin/pip install -e ".[demo]" && .venv/bin/python manage.py demo'
    second = 'python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/python -m tests'
    assert [line for line in commands if line.startswith("python3 -m venv")] == [first, second]


def test_the_changelog_holds_this_version() -> None:
    from django_tasks_durable import __version__

    text = (ROOT / "CHANGELOG.md").read_text()
    wanted = "## [Unreleased]" if "dev" in __version__ else f"## [{__version__}]"
    assert wanted in text
