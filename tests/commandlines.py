"""Hold a command line that a page shows to the command's own parser."""

from __future__ import annotations

import argparse
import re
import shlex
from configparser import ConfigParser
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from django.core.management import get_commands, load_command_class
from django.core.management.base import CommandError, CommandParser

ROOT = Path(__file__).resolve().parent.parent
OURS = ("runtasks", "tasks", "prunetasks", "startworkflow", "benchtasks", "demo")
# Programs of the system and of other packages, which are not ours to hold.
OTHERS = {
    "apt-get", "cat", "cd", "createdb", "curl", "daphne", "export", "find", "kill", "ls", "mkdir", "mkdocs", "psql", "sleep",
    "source", "systemctl", "tee", "test", "tox", "uvicorn", "wait",
}  # fmt: skip
SPAN = re.compile(r"`((?:python3? )?(?:manage\.py )?(?:" + "|".join(OURS) + r") [^`]+)`")
LOOPS = {"until", "while", "do", "done"}
SEPARATORS = {"|", "&&", "||", ";", "&"}


@cache
def parser_of(name: str) -> CommandParser:
    """Return the parser of a management command."""
    command = load_command_class(get_commands()[name], name)  # type: ignore[arg-type]  # they are names of apps here
    return command.create_parser("manage.py", name)


def subparsers_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of a command's subcommands."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= action.choices
    return found


def complaints(code: str, *, in_console: bool = False) -> list[str]:
    """Tell what is wrong with the command lines of a block. In a console's, only what follows `$ ` is a command."""
    lines = code.replace("\\\n", " ").splitlines()
    if in_console and any(line.startswith("$ ") for line in lines):
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [complaint for line in lines for words in _commands(line) if (complaint := _complaint(words))]


def inline_complaints(text: str) -> list[str]:
    """Tell which options of commands in running text do not exist."""
    wrong = []
    for line in SPAN.findall(text):
        words = re.sub(r"^(python3? )?(manage\.py )?", "", line).replace("[", " ").replace("]", " ").split()
        parser: argparse.ArgumentParser = parser_of(words[0])
        choices = subparsers_of(parser)
        if choices and not words[1].startswith("-"):
            if words[1] not in choices:
                wrong.append(line)
                continue
            parser = choices[words[1]]
            if len(words) > 2 and words[2] in subparsers_of(parser):
                parser = subparsers_of(parser)[words[2]]
        options = {option for action in parser._actions for option in action.option_strings}
        wrong += [f"{line}: {word}" for word in words if word.startswith("--") and word.split("=")[0] not in options]
    return wrong


def _commands(line: str) -> list[list[str]]:
    # `> file` and `2>&1` belong to the shell.
    lexer = shlex.shlex(re.sub(r" \d?>(?:&\d| ?[\w./-]+)", "", line), posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if word in SEPARATORS | LOOPS:
            commands.append([])
        else:
            commands[-1].append(word)
    return [words for words in commands if words]


def _complaint(words: list[str]) -> str:
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    program = words[0].removeprefix(".venv/bin/")
    match [program, *words[1:]]:
        case ["python" | "python3", "manage.py", name, *rest]:
            return _refused(name, rest)
        case ["manage.py" | "django-admin", name, *rest]:
            return _refused(name, rest)
        case ["python" | "python3", "-m", "venv" | "pip", *_] | ["python" | "python3", "-c", _]:
            return ""
        case ["python" | "python3", "-m", module, *_]:
            return "" if find_spec(module) else f"no module {module}"
        case ["pip", "install", *what]:
            return _unknown_extras(what)
        case [".ci/run", *_]:
            return ""
        case [other, *_] if other in OTHERS:
            return ""
    return f"unknown: {' '.join(words)}"


def _refused(name: str, words: list[str]) -> str:
    if name not in get_commands():
        return f"no command {name}"
    parser = parser_of(name)
    for action in parser._actions:
        if action.dest == "database":
            action.choices = None  # Django offers the databases of the tests' settings; a page has its own.
    try:
        parser.parse_args(words)
    except CommandError as error:
        return f"{name} {' '.join(words)}: {error}"
    except SystemExit:
        return f"{name} {' '.join(words)}: refused"
    return ""


def _unknown_extras(what: list[str]) -> str:
    packaging = ConfigParser()
    packaging.read(ROOT / "setup.cfg")
    asked = {
        extra
        for word in what
        for extra in re.findall(r"(?:^\.|django-tasks-durable)\[([\w,]+)\]", word)
        for extra in extra.split(",")
    }
    return ", ".join(sorted(asked - {*packaging["options.extras_require"]}))
