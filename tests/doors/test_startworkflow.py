"""``manage.py startworkflow``: what it writes, what it leaves, and what it refuses."""

from __future__ import annotations

import ast
import json
import os
import stat
import subprocess
import sys
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_tasks_durable.authoring.flow import read_flow
from django_tasks_durable.management import scaffold
from tests.ground.flows import EVERY_NODE

ROOT = Path(__file__).parent.parent.parent
SAMPLE = ROOT / "example_project" / "onboarding" / "onboarding.json"


def startworkflow(*arguments: object) -> str:
    """Run the command and return what it wrote."""
    out = StringIO()
    call_command("startworkflow", *map(str, arguments), stdout=out, no_color=True)
    return out.getvalue()


def refusal(*arguments: object) -> tuple[str, str]:
    """Run the command; return its complaint and the lines before it."""
    errors = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("startworkflow", *map(str, arguments), stdout=StringIO(), stderr=errors, no_color=True)
    assert caught.value.returncode == 1
    return str(caught.value), errors.getvalue()


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def methods(path: Path) -> list[str]:
    return [node.name for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.FunctionDef)]


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    """The sample in a folder of its own."""
    path = tmp_path / "onboarding.json"
    path.write_bytes(SAMPLE.read_bytes())
    return path


def changed(flow: Path, **changes: Any) -> Path:
    """Put a node of this name and these properties between register-user and send-welcome."""
    document = json.loads(flow.read_text())
    document["nodes"][1]["to"] = changes["name"]
    document["nodes"].insert(2, {"type": "task", "to": "send-welcome", **changes})
    flow.write_text(json.dumps(document))
    return flow


def test_it_writes_the_generated_part_and_a_stub_for_each_task(flow: Path) -> None:
    told = startworkflow(flow)
    assert [line.split()[0] for line in told.splitlines()] == ["created", "created", "Workers"]
    assert told.splitlines()[0].endswith("stubs: register_user, send_welcome, send_reminder")
    assert methods(flow.with_name("onboarding.py")) == ["register_user", "send_welcome", "send_reminder"]
    head = flow.with_name("onboarding_flow.py").read_text().splitlines()[:2]
    assert head[0].startswith("# Generated from onboarding.json. Do not edit")
    assert "`manage.py startworkflow onboarding.json`" in head[0]


def test_a_second_time_nothing_is_written(flow: Path) -> None:
    startworkflow(flow)
    before = {path: path.stat().st_mtime_ns for path in flow.parent.iterdir()}
    assert startworkflow(flow).split()[::2] == ["unchanged", "unchanged"]
    assert {path: path.stat().st_mtime_ns for path in flow.parent.iterdir()} == before


def test_a_new_task_adds_one_stub_and_leaves_every_other_byte_of_the_implementation(flow: Path) -> None:
    startworkflow(flow)
    own = flow.with_name("onboarding.py")
    written = own.read_text().replace(
        "raise NotImplementedError(\"Write the task 'send-welcome'.\")", "return [*mails, 'hi']  # by me\t "
    )
    own.write_text(written + "\n\ndef helper( ):\n    return   1\n\n\n")
    before = own.read_bytes()
    told = startworkflow(changed(flow, name="score-lead", params={"email": "state.email"}, result="state.score"))
    assert "stubs: score_lead" in told
    after = own.read_bytes()
    stub = b'''
    def score_lead(self, *, email: str) -> object:
        """Score lead."""
        raise NotImplementedError("Write the task 'score-lead'.")
'''
    assert after.count(stub) == 1
    assert after.replace(stub, b"") == before
    assert "score-lead" in flow.with_name("onboarding_flow.py").read_text()
    assert startworkflow(flow).split()[::2] == ["unchanged", "unchanged"]


@pytest.mark.parametrize(
    "layout",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("    ", "\t"),
        lambda text: text.replace("    ", "  "),
        lambda text: text + "    # the last word\n\nx = 1\n",
        lambda text: text.replace("class Onboarding(OnboardingFlow)", "class Mine(flows.OnboardingFlow)"),
        lambda text: "\ufeff" + text,
    ],
)
def test_an_implementation_keeps_the_layout_it_has(flow: Path, layout: Any) -> None:
    startworkflow(flow)
    own = flow.with_name("onboarding.py")
    own.write_bytes(layout(own.read_text()).encode())
    before = own.read_bytes()
    startworkflow(changed(flow, name="score-lead"))
    after = own.read_bytes()
    assert methods(own)[-1] == "score_lead"
    start = next(place for place in range(len(after)) if place >= len(before) or after[place] != before[place])
    added = len(after) - len(before)
    assert after[:start] + after[start + added :] == before
    assert (b"\r\n" in before) == (b"\r\n" in after[start : start + added])


def test_a_task_that_is_written_in_another_base_gets_no_stub_to_hide_it(flow: Path) -> None:
    startworkflow(flow)
    own = flow.with_name("onboarding.py")
    own.write_text("class Onboarding(Mails, OnboardingFlow):\n    register_user = some_function\n")
    assert "stubs: score_lead\n" in startworkflow(changed(flow, name="score-lead"))
    assert methods(own) == ["score_lead"]


def test_of_two_classes_the_one_that_has_the_name_of_the_flow_gets_the_stub(flow: Path) -> None:
    startworkflow(flow)
    own = flow.with_name("onboarding.py")
    own.write_text("class Fake(OnboardingFlow):\n    x = 1\n\n\n" + own.read_text())
    startworkflow(changed(flow, name="score-lead"))
    assert methods(own)[-1] == "score_lead"
    assert own.read_text().startswith("class Fake(OnboardingFlow):\n    x = 1\n\n\n")


def test_a_task_that_left_the_flow_stays_written_and_is_named(flow: Path) -> None:
    startworkflow(changed(flow, name="score-lead"))
    before = flow.with_name("onboarding.py").read_bytes()
    flow.write_bytes(SAMPLE.read_bytes())
    assert "no longer in the flow: score_lead" in startworkflow(flow)
    assert flow.with_name("onboarding.py").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("class Onboarding(:\n", "cannot be read (line 1"),
        ("class Other:\n    pass\n", "no class that derives from OnboardingFlow"),
        ("", "no class that derives from OnboardingFlow"),
        ("class Onboarding(OnboardingFlow): pass\n", "Add register_user(), send_welcome(), send_reminder() by hand"),
    ],
)
def test_an_implementation_that_cannot_be_extended_is_left_and_nothing_else_is_written(
    flow: Path, content: str, said: str
) -> None:
    flow.with_name("onboarding.py").write_text(content)
    before = files(flow.parent)
    assert said in refusal(flow)[0]
    assert files(flow.parent) == before


def test_a_generated_file_that_was_edited_is_not_overwritten_unless_forced(flow: Path) -> None:
    startworkflow(flow)
    generated = flow.with_name("onboarding_flow.py")
    good = generated.read_bytes()
    generated.write_bytes(good.replace(b"days=3", b"days=4"))
    before = files(flow.parent)
    assert "was edited by hand" in refusal(flow)[0]
    assert files(flow.parent) == before
    assert "refreshed" in startworkflow(flow, "--force")
    assert generated.read_bytes() == good


def test_a_file_of_somebody_else_is_not_overwritten(flow: Path) -> None:
    flow.with_name("onboarding_flow.py").write_text("x = 1\n")
    assert "is not from this command" in refusal(flow)[0]
    assert flow.with_name("onboarding_flow.py").read_text() == "x = 1\n"


def test_check_writes_nothing_and_fails_when_the_files_are_not_what_the_flow_says(flow: Path) -> None:
    assert "Not what the flow says" in refusal(flow, "--check")[0]
    assert set(files(flow.parent)) == {"onboarding.json"}
    startworkflow(flow)
    assert startworkflow(flow, "--check").split()[::2] == ["unchanged", "unchanged"]
    changed(flow, name="score-lead")
    before = files(flow.parent)
    assert "Not what the flow says" in refusal(flow, "--check")[0]
    assert files(flow.parent) == before


def test_a_checkout_with_other_ends_of_lines_is_no_edit(flow: Path) -> None:
    startworkflow(flow)
    generated = flow.with_name("onboarding_flow.py")
    generated.write_bytes(generated.read_bytes().replace(b"\n", b"\r\n"))
    assert startworkflow(flow, "--check").split()[::2] == ["unchanged", "unchanged"]


def test_every_problem_of_a_flow_is_told_and_nothing_is_written(flow: Path) -> None:
    document = json.loads(flow.read_text())
    document["nodes"][1]["to"] = "send-welcom"
    document["nodes"][3]["timeout"] = "3 dais"
    flow.write_text(json.dumps(document))
    said, lines = refusal(flow)
    assert "2 problems; nothing was written" in said
    assert [line.partition(": ")[0] for line in lines.splitlines()] == ["$.nodes[1].to", "$.nodes[3].timeout"]
    assert set(files(flow.parent)) == {"onboarding.json"}


def test_json_tells_machines_the_files_and_the_problems(flow: Path) -> None:
    told = json.loads(startworkflow(flow, "--json"))
    assert [(Path(each["path"]).name, each["action"]) for each in told["files"]] == [
        ("onboarding.py", "created"),
        ("onboarding_flow.py", "created"),
    ]
    flow.write_text(flow.read_text()[:-20])
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("startworkflow", str(flow), "--json", stdout=out)
    problem = json.loads(out.getvalue())["problems"][0]
    assert (problem["path"], problem["message"]) == ("$", "the text ends too early.")
    assert problem["line"] > 60


def test_the_output_is_a_folder_or_an_app(flow: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "__init__.py").touch()
    startworkflow(flow, "--output", other)
    assert "from .onboarding_flow import" in (other / "onboarding.py").read_text()
    assert set(files(tmp_path)) == {"onboarding.json"}
    assert "neither a folder nor the label of an installed app" in refusal(flow, "--output", "nowhere")[0]


def test_format_writes_the_flow_with_what_it_does_not_know_under_extra(flow: Path) -> None:
    document = json.loads(flow.read_text()) | {"zoom": 2}
    flow.write_text(json.dumps(document))
    startworkflow(flow, "--format")
    assert json.loads(flow.read_text()) == json.loads(SAMPLE.read_text()) | {"_extra": {"zoom": 2}}
    startworkflow(flow, "--format")
    assert read_flow(flow.read_bytes()).as_text() == flow.read_text()
    assert startworkflow(flow, "--check", "--format").split()[::2] == ["unchanged", "unchanged"]


def test_a_file_that_is_not_there_and_an_option_that_is_misspelt(flow: Path) -> None:
    assert "cannot be read" in refusal(flow.with_name("nothing.json"))[0]
    assert "Did you mean --check?" in refusal(flow, "--chekc")[0]


def test_files_are_replaced_whole_with_the_mode_they_had(flow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    startworkflow(flow)
    own = flow.with_name("onboarding.py")
    own.chmod(0o640)
    startworkflow(changed(flow, name="score-lead"))
    assert stat.S_IMODE(own.stat().st_mode) == 0o640
    before = files(flow.parent)

    def fail(*paths: object) -> None:
        raise OSError(28, "No space left on device", str(own))

    monkeypatch.setattr(scaffold.os, "replace", fail)
    flow.write_bytes(SAMPLE.read_bytes())
    changed(flow, name="another")
    assert "No space left" in refusal(flow)[0]
    assert {**files(flow.parent), "onboarding.json": b""} == {**before, "onboarding.json": b""}


def test_the_committed_example_is_what_its_flow_says() -> None:
    assert startworkflow(SAMPLE, "--check").split()[::2] == ["unchanged", "unchanged"]
    assert startworkflow(SAMPLE, "--output", "onboarding", "--check").split()[::2] == ["unchanged", "unchanged"]


# --- what it writes is Python that holds


@pytest.fixture
def every(tmp_path: Path) -> Path:
    """A flow with a node of each type, made into a package."""
    folder = tmp_path / "drawn"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "every.json").write_text(json.dumps(EVERY_NODE))
    (folder / "line.json").write_text(json.dumps(LONG_LINES))
    startworkflow(folder / "every.json")
    startworkflow(folder / "line.json")
    return folder


# Conditions and literals past every width, and letters that a linter takes for others.
LONG_LINES = {
    "name": "long-lines",
    "description": "A “sentence” \u2013 " + "that does not fit on one line, " * 8,
    "nodes": [
        {"type": "start", "name": "start", "to": "ask"},
        {
            "type": "condition",
            "name": "ask",
            "if": " or ".join(f"(state.number_{i} > {i}.5 and state.text_{i} in ['a', 'b'])" for i in range(6)),
            "then": "say",
            "else": "end",
        },
        {
            "type": "task",
            "name": "say",
            "params": {"words": "so much to say " * 12, "names": ["\u03c1", "o"]},
            "to": "end",
        },
        {"type": "end", "name": "end"},
    ],
}


def tool(*arguments: object, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder.parent}", "DJANGO_SETTINGS_MODULE": "tests.settings"}
    outcome = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy comes with the extra dev")
def test_what_it_writes_has_no_mistake_that_a_strict_type_checker_finds(every: Path) -> None:
    cache = every.parent / "cache"
    tool("-m", "mypy", "--strict", "--config-file", "setup.cfg", "--cache-dir", cache, every, folder=every)


@pytest.mark.skipif(find_spec("ruff") is None, reason="ruff comes with the extra dev")
def test_what_it_writes_is_laid_out_as_this_project_is(every: Path) -> None:
    tool("-m", "ruff", "check", "--no-cache", "--config", "ruff.toml", every, folder=every)
    tool("-m", "ruff", "format", "--no-cache", "--check", "--config", "ruff.toml", every, folder=every)
    # A narrower project finds nothing to change either, so its formatter is no edit by hand.
    tool("-m", "ruff", "format", "--no-cache", "--check", "--isolated", every, folder=every)


PLAY = """
import django; django.setup()
import json, sys
from django_tasks_durable import MemoryStore
from django_tasks_durable.testing import advance, frozen
from drawn.every_node import EveryNode

tried = []
EveryNode.find = lambda self, *, plan, limit, options: tried.append((plan, limit, options)) or 2
def send_mail(self):
    tried.append("mail")
    self.state.tries += 1
EveryNode.send_mail = send_mail
store = MemoryStore()
def go(): return list(EveryNode.stream({"plan": "pro"}, run_id="x", store=store))
with frozen():
    asked = go()[-1].interrupt
    if sys.argv[1] == "late":
        advance(91)
        stream = EveryNode.stream({"plan": "pro"}, run_id="x", store=store)
    else:
        stream = EveryNode.resume("x", "yes", store=store)
    list(stream)
state = stream.result()
print(json.dumps([tried, asked, state.answer, state.tries, EveryNode.task.queue_name]))
"""


@pytest.mark.parametrize(("speed", "answer"), [("late", ""), ("quick", "yes")])
def test_every_type_of_node_runs_as_it_is_drawn(every: Path, speed: str, answer: str) -> None:
    found = [["pro", 3, {"deep": [True, None, 1.5], "seen": [1]}], "mail"]
    assert json.loads(tool("-c", PLAY, speed, folder=every)) == [found, {"plan": "pro"}, answer, 3, "flows"]


@pytest.mark.slow
def test_a_task_that_nobody_has_written_says_which(flow: Path) -> None:
    (flow.parent / "__init__.py").touch()
    startworkflow(flow)
    program = (
        "import django; django.setup()\n"
        f"from {flow.parent.name}.onboarding import Onboarding\n"
        "from django_tasks_durable import MemoryStore\n"
        "try: Onboarding.invoke({'email': 'a'}, store=MemoryStore())\n"
        "except NotImplementedError as error: print(error)"
    )
    assert tool("-c", program, folder=flow.parent) == "Write the task 'register-user'.\n"
