"""Every code block of README and docs is run, loaded, parsed or held to the signatures that it calls."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.template import engines
from django.test import override_settings

from django_tasks_durable import conf, testing
from django_tasks_durable.backend.results import DurableTaskResult
from django_tasks_durable.engine.context import DurableContext
from tests.commandlines import complaints, inline_complaints
from tests.pages import PAGES, ROOT, Block, blocks, prose

BLOCKS = blocks()
RUN = [block for block in BLOCKS if block.language == "python" and not block.word and not block.title]
# What the changelog says was so when it was said.
HELD = [page for page in PAGES if page.name != "CHANGELOG.md"]
# Blocks that nothing here looks into: a traceback, a unit file (tests/test_docs.py), styles, output.
PLAIN = {"text", "ini", "css", "mermaid"}
LOOKED_AT = {"python", "sh", "console", "json", "yaml", "html", "js"}

# One process sets Django up and makes the tables; a fork of it runs each block on a fresh copy of them, in a module of its own,
# because a task is known by the module and name of its function.
RUNNER = """
import json, os, shutil, sys, tempfile, traceback, types
import django
django.setup()
from django.core.management import call_command
from django.db import connection, connections
call_command("migrate", verbosity=0)
connections.close_all()
live = connection.settings_dict["NAME"]
shutil.copy(live, f"{live}.fresh")
for name, code in json.load(sys.stdin):
    for rest in ("-wal", "-shm"):
        if os.path.exists(live + rest):
            os.remove(live + rest)
    shutil.copy(f"{live}.fresh", live)
    with tempfile.TemporaryFile("w+") as told:
        if not (child := os.fork()):
            try:
                os.dup2(told.fileno(), 1), os.dup2(told.fileno(), 2)
                module = sys.modules["page"] = types.ModuleType("page")
                exec(compile(code, name, "exec"), vars(module))
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
    environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    environment |= {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(ROOT)}
    outcome = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps([[str(block), f"{block.given}\n{block.code}"] for block in RUN]),
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    return dict(json.loads(line) for line in outcome.stdout.splitlines())


# The rows of the tests' own database are asked by none of these: once is enough.
pytestmark = pytest.mark.databases("sqlite")


@pytest.mark.parametrize("block", RUN, ids=str)
def test_a_python_block_runs(block: Block) -> None:
    assert blocks_run()[str(block)] == ""


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.word == "settings"], ids=str)
def test_a_settings_block_has_no_wrong_option(block: Block) -> None:
    namespace: dict[str, Any] = {}
    exec(compile(f"{block.given}\n{block.code}", str(block), "exec"), namespace)
    for entry in namespace.get("TASKS", {}).values():
        assert conf.problems_in(entry.get("OPTIONS", {})) == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.word == "no-run"], ids=str)
def test_a_block_that_is_not_run_says_why_and_uses_what_there_is(block: Block) -> None:
    assert block.reason, f"{block} is marked no-run: write <!-- not run: why --> before it"
    assert misuses(ast.parse(block.code)) == []


def test_each_block_is_of_a_kind_that_is_looked_at() -> None:
    words = {"python": {"", "settings", "no-run"}}
    assert [str(block) for block in BLOCKS if block.language not in PLAIN | LOOKED_AT] == []
    assert [str(block) for block in BLOCKS if block.word not in words.get(block.language, {""})] == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python" and block.title], ids=str)
def test_a_file_that_a_reader_writes_uses_what_there_is(block: Block) -> None:
    """`python -m tests.newcomer` writes it and runs what it is for."""
    assert misuses(ast.parse(block.code)) == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in ("sh", "console")], ids=str)
def test_a_command_of_a_block_exists_and_takes_what_it_is_given(block: Block) -> None:
    assert complaints(block.code, in_console=block.language == "console") == []


@pytest.mark.parametrize("page", HELD, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_command_in_the_prose_exists_and_has_the_options_that_it_is_given(page: Path) -> None:
    assert inline_complaints(prose(page)) == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "json"], ids=str)
def test_a_json_block_is_json(block: Block) -> None:
    code = re.sub(r"^(\s*)\"state\": \{(.*)\}\s*$", r'{"state": {\2}}', block.code, flags=re.DOTALL)
    texts = code.splitlines() if code.count("\n{") else [code]
    assert [json.loads(text) for text in texts]


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "yaml"], ids=str)
def test_a_yaml_block_is_yaml_and_its_commands_exist(block: Block) -> None:
    services = (yaml.safe_load(block.code) or {}).get("services", {})
    for service in services.values():
        assert complaints(" ".join(service["command"])) == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "html" and not block.title], ids=str)
def test_a_template_block_compiles(block: Block) -> None:
    with override_settings(DEBUG=False):
        assert engines["django"].from_string(block.code)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed: apt-get install nodejs")
@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "js"], ids=str)
def test_a_script_block_is_javascript(block: Block, tmp_path: Path) -> None:
    script = tmp_path / "block.mjs"
    script.write_text(block.code)
    outcome = subprocess.run(["node", "--check", str(script)], capture_output=True, text=True, check=False)
    assert outcome.stderr == ""


KNOWN = {"context": DurableContext, "result": DurableTaskResult, "fork": DurableTaskResult, "testing": testing}


def misuses(tree: ast.AST) -> list[str]:
    """Tell what a piece of code imports, reads or calls with that is not there."""
    wrong: list[str] = []
    middleware = "get_outcome" in {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str() as module, names=names) if module.startswith("django"):
                found = import_module(module)
                wrong += [f"{module}.{name.name}" for name in names if not _has(found, name.name)]
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=attribute), keywords=keywords) if (
                owner in KNOWN and not (owner == "context" and middleware)
            ):
                called = getattr(KNOWN[owner], attribute, None)
                if called is None:
                    wrong.append(f"{owner}.{attribute}")
                    continue
                parameters = inspect.signature(called).parameters
                open_ended = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
                wrong += [
                    f"{owner}.{attribute}({keyword.arg}=)"
                    for keyword in keywords
                    if not open_ended and keyword.arg not in parameters
                ]
    return wrong


def _has(module: Any, name: str) -> bool:
    if hasattr(module, name):
        return True
    try:
        import_module(f"{module.__name__}.{name}")
    except ImportError:
        return False
    return True
