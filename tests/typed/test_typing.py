"""Tasks are typed by the signature of their function, and the context is no argument of the caller's."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import django_tasks_durable
from django_tasks_durable import exceptions, testing

CHECKED = Path(__file__).parent / "checked.py"
SAMPLES = [CHECKED.with_name("sample.py"), CHECKED.with_name("around.py")]
ROOT = CHECKED.parent.parent.parent
WANTED = re.compile(r"# (?P<kind>[ER]): (?P<text>.+)$")
SAID = re.compile(r"checked\.py:(?P<line>\d+): (?:error: (?P<error>.+?)|note: Revealed type is \"(?P<type>.+)\")$")
QUALIFIED = re.compile(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed"),
]


def test_mypy_says_of_each_line_what_stands_beside_it() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-m", "mypy", "--hide-error-codes", str(CHECKED)]
    outcome = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    said: dict[int, list[str]] = {}
    for line in outcome.stdout.splitlines():
        if match := SAID.search(line):
            text = match["error"] or plain(match["type"])
            said.setdefault(int(match["line"]), []).append(text)
    assert said, outcome.stdout + outcome.stderr
    wanted = {
        number: match["text"]
        for number, line in enumerate(CHECKED.read_text().splitlines(), 1)
        if (match := WANTED.search(line))
    }
    assert sorted(said) == sorted(wanted), said
    for number, text in wanted.items():
        assert any(each.startswith(text) for each in said[number]), f"line {number}: {said[number]}, not {text!r}"


def plain(told: str) -> str:
    """Leave the modules out of the name of a type, and its newer spelling in."""
    return re.sub(r"Union\[(\w+), None\]", r"\1 | None", QUALIFIED.sub("", told))


def test_a_project_that_uses_every_public_name_is_clean_to_mypy() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", *map(str, SAMPLES)]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    outcome = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.skipif(shutil.which("pyright") is None, reason="pyright is not installed")
def test_it_is_clean_to_pyright() -> None:
    outcome = subprocess.run(
        ["pyright", "--pythonpath", sys.executable, *map(str, SAMPLES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout


def test_the_samples_use_every_public_name() -> None:
    used = {word for sample in SAMPLES for word in re.findall(r"\w+", sample.read_text())}
    assert {*django_tasks_durable.__all__, *testing.__all__} - used == set()


def test_the_samples_use_every_name_of_the_reference() -> None:
    used = {word for sample in SAMPLES for word in re.findall(r"\w+", sample.read_text())}
    told = re.findall(r"^::: [\w.]+\.(\w+)$", (ROOT / "docs/reference/api.md").read_text(), re.MULTILINE)
    told += re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/reference/signals.md").read_text(), re.MULTILINE)
    assert len(told) > 80
    assert {*told, *classes_of(exceptions)} - used == set()


def classes_of(module: ModuleType) -> set[str]:
    """Return the names of the classes that a module defines."""
    return {
        name for name, held in vars(module).items() if isinstance(held, type) and held.__module__ == module.__name__
    }
