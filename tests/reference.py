"""Parts of the reference that are drawn from the code: `python -m tests.reference` writes them, and a test compares them.

A part lies between `<!-- drawn: name -->` and `<!-- /drawn -->` of its page.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Set

from django.core.management.base import DjangoHelpFormatter

from django_tasks_durable.primitives.status import TRANSITIONS
from tests import glossary
from tests.commandlines import OURS, parser_of, subparsers_of
from tests.pages import ROOT

PART = re.compile(r"<!-- drawn: (?P<name>[\w-]+) -->\n(?P<text>.*?)<!-- /drawn -->", re.DOTALL)
# What every command of Django's takes, and Django's own reference tells.
DJANGO = {
    "--help",
    "--version",
    "--verbosity",
    "--settings",
    "--pythonpath",
    "--traceback",
    "--no-color",
    "--force-color",
    "--skip-checks",
}
SHARED = {"--backend", "--json"}  # of every subcommand of `tasks`


def commands() -> str:
    """Draw each command with its subcommands and options."""
    return "\n".join(line for name in OURS for line in _command(name))


def states() -> str:
    """Draw the moves between statuses as a Mermaid diagram."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> READY: enqueue"]
    lines += [f"    {status} --> {to}" for status, moves in TRANSITIONS.items() for to in sorted(moves)]
    return "\n".join([*lines, "```", ""])


def words() -> str:
    """Draw the glossary from docstrings."""
    return "\n".join([*glossary.lines(), ""])


PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "commands": ("docs/reference/commands.md", commands),
    "glossary": ("docs/reference/glossary.md", words),
    "states": ("docs/reference/states.md", states),
}


def drawn(name: str) -> tuple[str, str]:
    """Return a part as its page has it, and as the code has it."""
    page, draw = PARTS[name]
    found = {match["name"]: match["text"] for match in PART.finditer((ROOT / page).read_text())}
    return found[name], f"\n{draw()}\n"


def write() -> None:
    """Write every part into its page."""
    for name, (page, _draw) in PARTS.items():
        has, should = drawn(name)
        path = ROOT / page
        path.write_text(path.read_text().replace(f"<!-- drawn: {name} -->\n{has}", f"<!-- drawn: {name} -->\n{should}"))


def _command(name: str) -> Iterator[str]:
    parser = parser_of(name)
    said = parser.description or ""
    yield f"## {name}\n"
    choices = subparsers_of(parser)
    yield f"{said}\n"
    if not choices:
        yield from _options(parser)
        return
    for word, sub in choices.items():
        yield f"### tasks {word}\n"
        yield f"{sub.description}\n"
        inner = subparsers_of(sub)
        yield from _options(sub, without=SHARED)
        for inner_word, inner_parser in inner.items():
            yield f"#### tasks {word} {inner_word}\n"
            yield f"{inner_parser.description}\n"
            yield from _options(inner_parser, without=SHARED)


def _options(parser: argparse.ArgumentParser, *, without: Set[str] = frozenset()) -> Iterator[str]:
    rows = [row for action in parser._actions if (row := _row(parser, action, without))]
    if rows:
        yield "| Argument | Does |\n|---|---|"
        yield from rows
        yield ""


def _row(parser: argparse.ArgumentParser, action: argparse.Action, without: Set[str]) -> str:
    if isinstance(action, argparse._SubParsersAction) or {*action.option_strings} & (DJANGO | without):
        return ""
    formatter = DjangoHelpFormatter("manage.py")
    if action.option_strings:
        value = (
            ""
            if action.nargs == 0
            else " " + formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
        )
        shown = ", ".join(f"`{option}{value}`" for option in action.option_strings)
    else:
        shown = f"`{formatter._format_args(action, formatter._get_default_metavar_for_positional(action))}`"
    said = formatter._expand_help(action) if action.help else ""
    return f"| {_cell(shown)} | {_cell(said)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    write()
