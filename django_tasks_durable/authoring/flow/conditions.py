"""Conditions: a small language read by Python's own parser, and written out as Python.

There are fields (``state.plan``), literals, comparisons, ``in``, ``and``, ``or`` and ``not``. Nothing of it is evaluated.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Iterator
from typing import Any

from .literals import scalar
from .names import expect_field
from .problems import Malformed, kind_of

LONGEST = 1_000
_LANGUAGE = "There are state.<name>, literals, == != < <= > >= in is, and, or, not"
_SIGNS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.In: "in", ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not",
}  # fmt: skip
_NEGATED: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Eq: ast.NotEq, ast.In: ast.NotIn, ast.Is: ast.IsNot}
_NEGATED |= {negative: positive for positive, negative in _NEGATED.items()}
_MIRRORED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE, ast.Eq: ast.Eq, ast.NotEq: ast.NotEq,
    ast.Is: ast.Is, ast.IsNot: ast.IsNot,
}  # fmt: skip
_ELSEWHERE = [(r"&&", "&&", "and"), (r"\|\|", "||", "or"), (r"!(?!=)", "!", "not"), (r"(?<![=!<>])=(?!=)", "=", "==")]
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_SPELLED_IN_JSON = {"true": "True", "false": "False", "null": "None"}


def parse(text: Any) -> ast.expr:
    """Return the tree of a condition; raise Malformed for what is not of the language."""
    if not isinstance(text, str):
        raise Malformed(f"a condition is a text such as 'state.tries < 3', this is {kind_of(text)}.")
    if len(text) > LONGEST:
        raise Malformed(f"the condition has {len(text):,} characters, the limit is {LONGEST:,}. Let a task decide.")
    plain = " ".join(text.splitlines()).rstrip()
    blanks = len(plain) - len(plain.lstrip())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning about the text of a flow is no warning about this program
            tree = ast.parse(plain.lstrip(), mode="eval").body
        _expect_decision(tree)
    except SyntaxError as error:
        # Where the text ends too early, Python names no column or one of the next line.
        column = error.offset if error.offset and error.lineno == 1 else len(plain) - blanks + 1
        raise Malformed(f"no valid condition, column {column + blanks}: {error.msg}.{_spelling(plain)}") from None
    except (MemoryError, RecursionError, ValueError) as error:
        if isinstance(error, _Foreign):
            column = len(plain.lstrip().encode()[: error.offset].decode(errors="ignore")) + 1 + blanks
            raise Malformed(f"no valid condition, column {column}: {error}") from None
        raise Malformed("no valid condition: Python cannot read it.") from None
    if not any(True for _ in fields(tree)):
        raise Malformed("the condition names no field of the state, so it is always the same.")
    return tree


def _spelling(text: str) -> str:
    """Name Python's spelling of what other languages write."""
    outside = _QUOTED.sub("''", text)
    found = [f"'{here}' for '{there}'" for pattern, there, here in _ELSEWHERE if re.search(pattern, outside)]
    return f" Write {', '.join(found)}." if found else ""


class _Foreign(ValueError):
    """Part of a tree is not of the language."""

    def __init__(self, node: ast.expr, message: str) -> None:
        self.offset = node.col_offset
        super().__init__(message)


def _expect_decision(node: ast.expr) -> None:
    match node:
        case ast.BoolOp(values=values):
            for value in values:
                _expect_decision(value)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _expect_decision(operand)
        case ast.Compare(left=left, ops=ops, comparators=others):
            _expect_operand(left)
            for sign, other in zip(ops, others, strict=True):
                _expect_compared(sign, other)
        case ast.Constant():
            raise _Foreign(node, f"the literal {ast.unparse(node)} alone decides nothing; compare it with a field.")
        case _:
            _expect_operand(node)


def _expect_compared(sign: ast.cmpop, other: ast.expr) -> None:
    if isinstance(sign, ast.Is | ast.IsNot) and not _is_singleton(other):
        raise _Foreign(other, "`is` compares with None, True or False only; use ==.")
    if isinstance(sign, ast.In | ast.NotIn) and isinstance(other, ast.List | ast.Tuple):
        for each in other.elts:
            if isinstance(each, ast.Attribute):
                raise _Foreign(each, "a list after `in` holds literals only.")
            _expect_operand(each)
        return
    _expect_operand(other)


def _expect_operand(node: ast.expr) -> None:
    match node:
        case ast.Attribute(value=ast.Name(id="state"), attr=name):
            try:
                expect_field(name)
            except Malformed as error:
                raise _Foreign(node, str(error)) from None
        case ast.Constant() | ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
            _expect_literal(node)
        case ast.Name(id=name) if name in _SPELLED_IN_JSON:
            raise _Foreign(node, f"{name!r} is no name. Did you mean {_SPELLED_IN_JSON[name]}?")
        case ast.Name(id="state"):
            raise _Foreign(node, "'state' alone decides nothing: name its field, as state.<name>.")
        case ast.Name(id=name):
            raise _Foreign(node, f"{name!r} is no field of the state. Did you mean state.{name}?")
        case ast.Attribute(value=ast.Name(id=owner)):
            raise _Foreign(node, f"{owner!r} is unknown here: only fields of the state have names, as state.<name>.")
        case _:
            raise _Foreign(node, f"{ast.unparse(node)!r} is not of the language of conditions. {_LANGUAGE}.")


def _expect_literal(node: ast.expr) -> None:
    value = literal_of(node)
    if not isinstance(value, str | int | float | None):
        raise _Foreign(node, f"{ast.unparse(node)} is no literal of JSON: use a text, a number, True, False or None.")
    if isinstance(value, float) and not math.isfinite(value):
        raise _Foreign(node, "the number is too large.")
    if isinstance(value, str) and not _is_unicode(value):
        raise _Foreign(node, "the text holds half of a character (a lone surrogate).")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_singleton(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool))


def literal_of(node: ast.expr) -> Any:
    """Return the value of a literal."""
    if isinstance(node, ast.Constant):
        return node.value
    assert isinstance(node, ast.UnaryOp)
    assert isinstance(node.operand, ast.Constant)
    value = node.operand.value
    assert isinstance(value, int | float)
    return -value


def fields(tree: ast.expr) -> Iterator[str]:
    """Give the field of every reference in a condition."""
    return (node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def alternatives(tree: ast.expr) -> tuple[str, list[str]]:
    """Return a condition as Python in parts: the outermost ``and`` or ``or``, if any, and what stands between."""
    if isinstance(tree, ast.BoolOp):
        return _word(tree), [_python(value) for value in tree.values]
    return "", [_python(tree)]


def _word(node: ast.BoolOp) -> str:
    return "and" if isinstance(node.op, ast.And) else "or"


def _python(node: ast.expr) -> str:
    match node:
        case ast.BoolOp(values=values):
            return f"({f' {_word(node)} '.join(map(_python, values))})"
        case ast.UnaryOp(op=ast.Not(), operand=ast.UnaryOp(op=ast.Not(), operand=inner)):
            return _python(inner)
        case ast.UnaryOp(op=ast.Not(), operand=ast.Compare(left=left, ops=[sign], comparators=[other])) if (
            type(sign) in _NEGATED
        ):
            return _compared(left, [_NEGATED[type(sign)]], [other])
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return f"not {_python(operand)}"
        case ast.Compare(left=left, ops=ops, comparators=others):
            return _compared(left, [type(sign) for sign in ops], others)
        case ast.Attribute(attr=name):
            return f"self.state.{name}"
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return f"[{', '.join(map(_python, elements))}]"
        case _:
            return scalar(literal_of(node))


def _compared(left: ast.expr, signs: list[type[ast.cmpop]], others: list[ast.expr]) -> str:
    backwards = not isinstance(left, ast.Attribute) and isinstance(others[0], ast.Attribute)
    if len(signs) == 1 and backwards and signs[0] in _MIRRORED:
        left, signs, others = others[0], [_MIRRORED[signs[0]]], [left]
    said = _python(left)
    for sign, other in zip(signs, others, strict=True):
        if sign in (ast.Eq, ast.NotEq) and _is_singleton(other):
            sign = ast.Is if sign is ast.Eq else ast.IsNot
        said += f" {_SIGNS[sign]} {_python(other)}"
    return said
