"""How generated Python is laid out, so that formatters of any width agree with it."""

from __future__ import annotations

import textwrap

from .names import method

# Narrower than any usual setting; what is split ends in a comma, which keeps it split.
WIDTH = 88
INDENT = " " * 4


def call(head: str, arguments: list[str], tail: str = "", *, depth: int = 2) -> list[str]:
    """Return the lines of ``head(arguments)tail``."""
    indent = INDENT * depth
    line = f"{indent}{head}({', '.join(arguments)}){tail}"
    if len(line) <= WIDTH or not arguments:
        return [line]
    inner = [f"{indent}{INDENT}{argument}," for argument in arguments]
    return [f"{indent}{head}(", *inner, f"{indent}){tail}"]


def documented(text: str, *, depth: int) -> list[str]:
    """Return the lines of a docstring."""
    words = one_line(text).replace("\\", "\\\\").replace('"', "'")
    sentence = words if words.endswith((".", "!", "?")) else f"{words}."
    indent = INDENT * depth
    lines = textwrap.wrap(sentence, WIDTH - len(indent) - 6, break_long_words=False, break_on_hyphens=False)
    if len(lines) == 1:
        return [f'{indent}"""{lines[0]}"""']
    return [f'{indent}"""{lines[0]}', *(f"{indent}{line}" for line in lines[1:]), f'{indent}"""']


def one_line(text: str) -> str:
    """Return a text as it may stand in a comment or a docstring."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


def sentence_of(name: str) -> str:
    """Return a node's name as a sentence: of ``send-welcome`` that is "Send welcome"."""
    return f"{method(name).replace('_', ' ').capitalize()}."
