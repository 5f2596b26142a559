"""Flows: read, checked as a whole with every mistake at its JSON path, written again, and written as Python."""

from __future__ import annotations

import ast
import json
import re
from copy import deepcopy
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_tasks_durable.authoring.flow import fields, generate, names, properties, read_flow
from django_tasks_durable.authoring.flow.durations import python as duration
from django_tasks_durable.authoring.flow.implementing import begin
from django_tasks_durable.exceptions import FlowInvalid, FlowUnreadable

from .flows import EVERY_NODE

ROOT = Path(__file__).parent.parent.parent
SAMPLE = ROOT / "example_project" / "onboarding" / "onboarding.json"
SCHEMA = json.loads((resources.files("django_tasks_durable.authoring.flow") / "flow.schema.json").read_text())


def every_node(**changes: Any) -> dict[str, Any]:
    """Return a flow with a node of each type, and something else about its nodes by their index, as ``n3={...}``."""
    flow = deepcopy(EVERY_NODE)
    for name, change in changes.items():
        flow["nodes"][int(name[1:])] |= change
    return flow


def problems(flow: Any) -> dict[str, str]:
    """Return the messages by path; there is one for each."""
    with pytest.raises(FlowInvalid) as caught:
        read_flow(json.dumps(flow))
    found = caught.value.problems
    assert len(dict(found)) == len(found)
    return dict(found)


def only_problem(flow: Any) -> tuple[str, str]:
    """Return the one problem that there is."""
    found = problems(flow)
    assert len(found) == 1, found
    return next(iter(found.items()))


def body(flow: Any, name: str) -> str:
    """Return the generated lines of a method, without its docstring."""
    tree = ast.parse(generate(read_flow(json.dumps(flow)), "x.json").text)
    found = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name)
    return "\n".join(ast.unparse(each) for each in found.body[1:])


# --- the text


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ('{\n  "name": "a",\n', 3, 1, "ends too early"),
        ('{"name": "a"', 1, 13, "ends too early"),
        ("", 1, 1, "empty"),
        ("name: onboarding", 1, 1, "Expecting value"),
        ('{\n "a": 1,\n "b" 2}', 3, 6, "Expecting ':'"),
        ('{"a": "NaN",\n "b": NaN}', 2, 7, "NaN is no JSON"),
        (b'{"a":\n "\xff"}', 2, 3, "not UTF-8"),
        ("[" * 100_000, 1, 1, "nested too deep"),
    ],
)
def test_text_that_is_no_json_is_refused_with_its_line_and_column(text: Any, line: int, column: int, said: str) -> None:
    with pytest.raises(FlowUnreadable) as caught:
        read_flow(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert said in str(caught.value)


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert read_flow(b"\xef\xbb\xbf" + SAMPLE.read_bytes()) == read_flow(SAMPLE.read_bytes())


@pytest.mark.parametrize("document", [[], "flow", 3, None])
def test_json_that_is_no_object_is_no_flow(document: Any) -> None:
    assert only_problem(document)[0] == "$"


def test_a_name_given_twice_in_one_object_would_lose_the_first() -> None:
    with pytest.raises(FlowInvalid, match=r"\$\.name: This name is given twice"):
        read_flow(json.dumps(EVERY_NODE)[:-1] + ', "name": "other"}')


def test_what_is_nested_too_deep_is_refused_at_its_place() -> None:
    deep: Any = 1
    for _ in range(60):
        deep = [deep]
    path, message = only_problem(every_node(n1={"params": {"a": deep}}))
    assert path.startswith("$.nodes[1].params.a[0][0]")
    assert message == "Nested more than 50 levels deep."


def test_half_of_a_character_and_a_number_past_all_bounds_cannot_be_kept() -> None:
    flow = every_node(n1={"params": {"a": "\ud800", "b": 7}})
    with pytest.raises(FlowInvalid) as caught:
        read_flow(json.dumps(flow).replace("7", "1e999", 1))
    assert {path for path, _ in caught.value.problems} >= {"$.nodes[1].params.a", "$.nodes[1].params.b"}


# --- mistakes


def test_every_mistake_is_told_at_once_each_at_its_path_with_what_was_probably_meant() -> None:
    flow = every_node(
        n0={"to": "look upp"},
        n1={"max_attempts": 0, "params": {"class": 1, "a-b": 2, "timeout": 3}},
        n3={"while": "state.tries <"},
        n4={"for": "3 dais"},
        n5={"type": "taks"},
        n7={"if": "state.answer = 3"},
    )
    flow["state"]["count"] = "integer"
    del flow["nodes"][6]["timeout"]
    flow["nodes"][6]["timout"] = 3
    del flow["nodes"][9]["name"]
    assert problems(flow) == {
        "$.nodes[0].to": "There is no node 'look upp'. Did you mean 'look up'?",
        "$.nodes[1].max_attempts": "A whole number from 1 is expected, this is 0.",
        "$.nodes[1].params.a-b": "'a-b' is no name in Python: use letters, digits and '_'. Did you mean 'a_b'?",
        "$.nodes[1].params.timeout": "'timeout' is an option of every step. Choose another name for the parameter.",
        "$.nodes[1].params.class": "'class' is a word of Python's. Choose another name, such as 'class_'.",
        "$.nodes[3].while": "No valid condition, column 14: invalid syntax.",
        "$.nodes[4].for": "'3 dais': 'dais' is no unit of time. Did you mean 'days'?",
        "$.nodes[5].type": "'taks' is no type of node. Did you mean 'task'?",
        "$.nodes[6].timout": "A node of type 'event' has no property 'timout'. Did you mean 'timeout'? "
        "To keep it as it is, put it under '_extra'.",
        "$.nodes[7].else": "There is no node 'other end'. Did you mean 'the end'?",
        "$.nodes[7].if": "No valid condition, column 14: invalid syntax. Write '==' for '='.",
        "$.nodes[9].name": "A node of type 'end' needs the property 'name'.",
        "$.state.count": "'integer' is no type. Did you mean 'int'?",
    }


def test_what_happens_after_a_timeout_needs_a_timeout_and_is_one_thing() -> None:
    event = {"type": "event", "name": "e", "to": "end", "default": None}
    needs = "'default' needs a 'timeout' on this event, such as '3 days'."
    assert only_problem(line(event)) == ("$.nodes[1].default", needs)
    del event["default"]
    assert only_problem(line({**event, "on_timeout": "end"}))[0] == "$.nodes[1].on_timeout"
    path, message = only_problem(line({**event, "timeout": 5, "on_timeout": "end", "default": None}))
    assert path == "$.nodes[1].on_timeout"
    assert "either 'default' is the answer, or 'on_timeout' is next" in message
    assert read_flow(json.dumps(line({**event, "timeout": 5})))


def without(flow: dict[str, Any], node_type: str) -> dict[str, Any]:
    return {**flow, "nodes": [node for node in flow["nodes"] if node["type"] != node_type]}


def line(*nodes: dict[str, Any]) -> dict[str, Any]:
    """Return a flow of these nodes, with a start that leads to the first and an end."""
    first = {"type": "start", "name": "start", "to": nodes[0]["name"]}
    return {"name": "line", "nodes": [first, *nodes, {"type": "end", "name": "end"}]}


def task(name: str, to: str = "end", **more: Any) -> dict[str, Any]:
    return {"type": "task", "name": name, "to": to, **more}


def test_a_flow_needs_one_start_and_an_end() -> None:
    assert "there is no start" in problems(without(EVERY_NODE, "start"))["$.nodes"].lower()
    second = {"type": "start", "name": "second", "to": "again"}
    assert only_problem({**EVERY_NODE, "nodes": [*EVERY_NODE["nodes"], second]})[0] == "$.nodes[10].type"
    flow = line(task("a", to="a"))
    flow["nodes"].pop()
    assert "there is no end" in problems(flow)["$.nodes"].lower()


def test_a_start_that_leads_to_the_end_does_nothing_and_nothing_leads_back_to_it() -> None:
    flow = line(task("a"))
    flow["nodes"][0]["to"] = "end"
    assert "nothing would be done" in problems(flow)["$.nodes[0].to"]
    assert "is the start" in only_problem(line(task("a", to="b"), {**CONDITION, "name": "b", "else": "start"}))[1]


CONDITION = {"type": "condition", "name": "c", "if": "state.yes", "then": "end", "else": "end"}


def test_a_node_that_no_way_leads_to_is_told_but_not_because_of_a_misspelt_edge() -> None:
    assert only_problem(line(task("a"), task("b")))[0] == "$.nodes[2]"
    assert only_problem(line(task("first", to="secnd"), task("second")))[0] == "$.nodes[1].to"


def test_a_loop_needs_a_way_out_and_a_way_back() -> None:
    path, message = only_problem(line({**CONDITION, "else": "a"}, task("a", to="b"), task("b", to="a")))
    assert (path, message) == ("$.nodes[2]", "A loop without exit: no way leads from 'a', 'b' to an end.")
    loop = {"type": "loop", "name": "l", "while": "state.yes", "do": "a", "to": "end"}
    assert "never comes back" in only_problem(line(loop, task("a")))[1]
    assert read_flow(json.dumps(line(loop, task("a", to="l"))))
    assert "nothing is done" in problems(line({**loop, "do": "l"}))["$.nodes[1]"]
    assert (
        "nothing is done" in only_problem(line({**CONDITION, "else": "d"}, {**CONDITION, "name": "d", "else": "c"}))[1]
    )
    assert "always the same" in only_problem(line({**loop, "while": "1 < 2"}, task("a", to="l")))[1]


@pytest.mark.parametrize(
    ("nodes", "path", "said"),
    [
        ([task("a", to="A"), task("A")], "$.nodes[2].name", "both become 'at_a'"),
        ([task("send-it", to="sendIt"), task("sendIt")], "$.nodes[2].name", "both become 'at_send_it'"),
        ([task("a", to="b", method="x"), task("b", method="x")], "$.nodes[2].method", "both become 'x'"),
        ([task("x", to="at-x"), task("at-x")], "$.nodes[2].name", "both become 'at_x'"),
        ([task("class")], "$.nodes[1].name", "a word of Python's"),
        ([task("step")], "$.nodes[1].name", "every workflow has"),
        ([task("a", method="state")], "$.nodes[1].method", "every workflow has"),
        ([task("list")], "$.nodes[1].name", "the name of a type"),
        ([task("enqueue")], "$.nodes[1].name", "every workflow has"),
        ([task("a", method="do it")], "$.nodes[1].method", "Did you mean 'do_it'?"),
        ([task("1st")], "$.nodes[1].name", "cannot be a name"),
        ([task("a"), task("a")], "$.nodes[2].name", "is the name of $.nodes[1] already"),
    ],
)
def test_names_that_cannot_be_methods_side_by_side_are_refused(nodes: Any, path: str, said: str) -> None:
    assert said in problems(line(*nodes))[path]


@pytest.mark.parametrize(
    ("name", "said"),
    [("class", "word of Python's"), ("state", "is taken"), ("exception", "is taken"), ("", "cannot be"), (3, "a text")],
)
def test_a_flow_is_not_named_after_what_python_has(name: Any, said: str) -> None:
    path, message = only_problem({**EVERY_NODE, "name": name})
    assert path == "$.name"
    assert said in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "invalid syntax"),
        ("state.a &&", "Write 'and' for '&&'"),
        ("state.a and (", "never closed"),
        ("len(state.a) > 1", "not of the language"),
        ("__import__('os').system('true')", "not of the language"),
        ("state.a.b", "not of the language"),
        ("state.a + 1 > 2", "not of the language"),
        ("[x for x in state.a]", "not of the language"),
        ("state.__class__", "no name in Python"),
        ("user.a", "'user' is unknown here"),
        ("'é' == state.a and tries > 1", "column 20: 'tries' is no field of the state. Did you mean state.tries?"),
        ("state.a == true", "Did you mean True?"),
        ("state.a or 1", "alone decides nothing"),
        ("state.a is 3", "use =="),
        ("state.a == b'x'", "no literal of JSON"),
        ("state.a == 1e999", "too large"),
        ("state.a in [state.b]", "literals only"),
        ("1 == 1", "always the same"),
        ("(" * 500 + "state.a", "No valid condition"),
        ("not " * 1000 + "state.a", "the limit is"),
        ("state.a == '\0'", "No valid condition"),
        (None, "this is null"),
    ],
)
def test_a_condition_outside_the_small_language_is_refused(text: Any, said: str) -> None:
    path, message = only_problem(line({**CONDITION, "if": text}))
    assert path == "$.nodes[1].if"
    assert said in message


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("state.a", "self.state.a"),
        ("3 > state.a", "self.state.a < 3"),
        ("1 < state.a <= -2.5", "1 < self.state.a <= -2.5"),
        ("not state.a == None", "self.state.a is not None"),
        ("state.a == True", "self.state.a is True"),
        ("not not state.a", "self.state.a"),
        ("state.a and (state.b or not state.c)", "self.state.a and (self.state.b or not self.state.c)"),
        ("state.a not in ('x', \"it's\")", "self.state.a not in ['x', \"it's\"]"),
        ("state.a == 'state.b'", "self.state.a == 'state.b'"),
    ],
)
def test_a_condition_is_written_as_python(text: str, python: str) -> None:
    assert body(line({**CONDITION, "if": text}), "at_c") == f"if {python}:\n    return None\nreturn None"


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ("3 days", ["days=3"]),
        ("1h 30 min", None),
        ("1 hour, 30 minutes", ["hours=1", "minutes=30"]),
        ("2weeks 1day", ["days=15"]),
        ("1.5 hours", ["hours=1.5"]),
        (90, ["seconds=90"]),
        (0.5, ["seconds=0.5"]),
        ("0 days", None),
        (-1, None),
        (True, None),
        (None, None),
        ("soon", None),
        ("999999999999 days", None),
    ],
)
def test_durations_are_words_or_seconds(given: Any, arguments: list[str] | None) -> None:
    flow = line({"type": "wait", "name": "w", "for": given, "to": "end"})
    if arguments is None:
        assert only_problem(flow)[0] == "$.nodes[1].for"
    else:
        assert read_flow(json.dumps(flow))
        assert duration(given) == arguments


# --- the state


def state_of(flow: Any) -> dict[str, str]:
    """Return the declarations of the generated state, by name."""
    tree = ast.parse(generate(read_flow(json.dumps(flow)), "x.json").text)
    found = next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == "State")
    lines = [node for node in found.body if isinstance(node, ast.AnnAssign)]
    return {ast.unparse(node.target): ast.unparse(node).partition(": ")[2] for node in lines}


def test_the_state_is_inferred_from_names_and_literals_and_what_is_declared_wins() -> None:
    assert state_of(EVERY_NODE) == {
        "plan": "str",
        "seen": "list[Any] = field(default_factory=lambda: [1])",
        "tries": "int = 0",
        "answer": "str = ''",
    }
    declared = {**EVERY_NODE, "state": {"tries": {"type": "float", "default": 2}}}
    assert state_of(declared)["tries"] == "float = 2"


@pytest.mark.parametrize(
    ("condition", "declaration"),
    [
        ("state.a", "bool"),
        ("state.a == 'x'", "str"),
        ("state.a < 3", "int"),
        ("state.a < 3 or state.a > 4.5", "float"),
        ("state.a == 3 or state.a == 'x'", "Any"),
        ("state.a is None", "Any"),
        ("state.a in ['x', 'y']", "str"),
        ("state.a == state.b", "Any"),
    ],
)
def test_the_type_of_a_field_is_the_one_that_all_its_literals_have(condition: str, declaration: str) -> None:
    assert state_of(line({**CONDITION, "if": condition}))["a"] == declaration


@pytest.mark.parametrize(
    ("declared", "condition", "said"),
    [
        ("str", "state.a == 3", "never equal: str and int"),
        ("str", "state.a < 3", "never in an order"),
        ("int | None", "state.a < 3", "may be None"),
        ("list", "state.a > 3", "neither less nor greater"),
        ("int", "'x' in state.a", "Nothing can be in state.a"),
        ("str", "3 in state.a", "there are only texts"),
        ("str", "state.a is True", "never equal"),
        ("list", "3 in state.a", None),
        ("int", "state.a in ['x']", "never have one value"),
        ("int | None", "state.a is not None and state.a < 3", None),
        ("float", "state.a == 3", None),
        ("any", "state.a < 3", None),
    ],
)
def test_a_comparison_that_the_declared_types_forbid_is_a_mistake(
    declared: str, condition: str, said: str | None
) -> None:
    flow = {**line({**CONDITION, "if": condition}), "state": {"a": declared}}
    if said is None:
        assert read_flow(json.dumps(flow))
        return
    path, message = only_problem(flow)
    assert path == "$.nodes[1].if"
    assert said in message


def test_a_misspelt_field_beside_a_declared_one_is_a_mistake() -> None:
    flow = {**line({**CONDITION, "if": "state.profile_complet"}), "state": {"profile_complete": "bool"}}
    path, message = only_problem(flow)
    assert path == "$.nodes[1].if"
    assert "Did you mean 'state.profile_complete'?" in message


@pytest.mark.parametrize("name", ["field", "list", "str", "Any", "class"])
def test_no_field_hides_what_the_state_is_written_with(name: str) -> None:
    assert set(problems({**line({**CONDITION, "if": "state.yes"}), "state": {name: "str"}})) == {f"$.state.{name}"}
    assert set(problems(line(task("a", params={"x": f"state.{name}"})))) == {"$.nodes[1].params.x"}


def test_a_declared_field_is_well_formed() -> None:
    flow = {
        **line(task("a")),
        "state": {"a": 3, "b": {"type": "int", "default": "x"}, "c d": "str", "e": {"type": "in"}},
    }
    found = problems(flow)
    assert set(found) == {"$.state.a", "$.state.b.default", "$.state['c d']", "$.state.e.type"}


# --- written again


def test_what_the_format_does_not_know_is_kept_under_extra() -> None:
    flow = every_node(n1={"x": 10, "y": 20, "_extra": {"colour": "red"}}, n8={"icon": {"name": "flag"}})
    flow |= {"zoom": 1.5, "_extra": {"viewport": [0, 0]}}
    flow["nodes"][2]["cases"][0]["label"] = "to Pro"
    flow["state"]["seen"]["colour"] = "blue"
    once = read_flow(json.dumps(flow))
    written = json.loads(once.as_text())
    assert written["_extra"] == {"viewport": [0, 0], "zoom": 1.5}
    assert written["nodes"][1]["_extra"] == {"colour": "red", "x": 10, "y": 20}
    assert written["nodes"][2]["cases"][0] == {"is": "pro", "to": "again", "_extra": {"label": "to Pro"}}
    assert written["nodes"][8]["_extra"] == {"icon": {"name": "flag"}}
    assert written["state"]["seen"]["_extra"] == {"colour": "blue"}
    assert read_flow(once.as_text()) == once
    # What only a drawing program knows is no change of the workflow.
    assert once.digest == read_flow(json.dumps(EVERY_NODE)).digest


def test_a_flow_is_written_again_as_it_was_read() -> None:
    assert json.loads(read_flow(json.dumps(EVERY_NODE)).as_text()) == EVERY_NODE
    assert read_flow(SAMPLE.read_bytes()).as_text() == SAMPLE.read_text()


# --- the published schema


def errors(flow: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [error.json_path for error in validator.iter_errors(flow)]


def test_the_schema_is_one_and_accepts_the_sample_and_each_type_of_node() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert {node["type"] for node in EVERY_NODE["nodes"]} == set(properties.NODES)
    assert errors(EVERY_NODE) == []
    assert errors(json.loads(SAMPLE.read_text())) == []


def test_the_schema_has_the_same_types_and_properties_as_the_reader() -> None:
    def told(schema: dict[str, Any]) -> tuple[set[str], set[str]]:
        return set(schema["properties"]), set(schema["required"])

    def read(known: properties.Properties) -> tuple[set[str], set[str]]:
        return {*known, properties.EXTRA}, {name for name, rule in known.items() if rule.required}

    parts = SCHEMA["$defs"]
    assert told(SCHEMA) == read(properties.FLOW)
    assert told(parts["case"]) == read(properties.CASE)
    assert told(parts["field"]) == read(properties.FIELD)
    assert [each["$ref"] for each in parts["node"]["oneOf"]] == [f"#/$defs/{name}" for name in properties.NODES]
    for name in properties.NODES:
        assert told(parts[name]) == read(properties.of_node(name)), name
        assert parts[name]["properties"]["type"]["const"] == name
    patterns = {name: parts[name]["pattern"] for name in ("name", "identifier", "reference")}
    assert patterns == {"name": names.NAME, "identifier": names.IDENTIFIER, "reference": names.REFERENCE}
    for kind in fields.TYPES:
        assert jsonschema.Draft202012Validator(parts["fieldType"]).is_valid(f"{kind} | None")


@pytest.mark.parametrize(
    "changes",
    [
        {"n1": {"max_attempts": 0}},
        {"n1": {"result": "tries"}},
        {"n1": {"params": {"a-b": 1}}},
        {"n1": {"params": {"atomic": 1}}},
        {"n1": {"atomic": 1}},
        {"n2": {"cases": []}},
        {"n4": {"for": "soon"}},
        {"n4": {"for": 0}},
        {"n5": {"type": "taks"}},
        {"n6": {"default": 1}},
        {"n6": {"to": None}},
        {"n8": {"name": "-"}},
    ],
)
def test_the_schema_and_the_reader_refuse_the_same_structure(changes: Any) -> None:
    flow = every_node(**changes)
    assert errors(flow)
    assert problems(flow)


def test_the_guide_has_a_table_of_the_properties_of_each_type_of_node() -> None:
    guide = (ROOT / "docs" / "guide" / "flows.md").read_text()
    for name in properties.NODES:
        section = guide.partition(f"\n### {name}\n")[2].partition("\n#")[0]
        cells = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
        told = {word: star == " *" for cell in cells for word, star in re.findall(r"`(\w+)`( \*)?", cell)}
        assert told == {word: rule.required for word, rule in properties.NODES[name].items()}, name


# --- hostile texts


@pytest.mark.parametrize(
    "text", ['"""\nimport os\n"""', "back\\slash\\", "\x00\x1b[31m", "a\u2028b", 'ends in "', "é" * 300]
)
def test_no_text_of_a_flow_gets_out_of_its_docstring_comment_or_literal(text: str) -> None:
    flow = every_node(n1={"description": text, "params": {"a": text, "b": {text: [text]}}})
    flow |= {"description": text, "queue_name": text}
    flow["state"]["seen"]["description"] = text
    plain = generate(read_flow(json.dumps(every_node(n1={"params": {"a": "", "b": {"": [""]}}}))), "x.json").text
    tree, wanted = (ast.parse(each) for each in (generate(read_flow(json.dumps(flow)), f"{text}.json").text, plain))

    def shape(tree: ast.AST) -> list[str]:
        return [type(node).__name__ for node in ast.walk(tree)]

    assert shape(tree) == shape(wanted)
    assert [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)].count(text) == 4


# --- any document


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
    | st.sampled_from(["state.a", "state.plan", "state.tries < 3", "again", "the end", "3 days", "task", "class", "int | None"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "name", "to", "is", "_extra", "default", "a"]) | st.text(max_size=4), inner, max_size=3
    ),
    max_leaves=6,
)  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return each container inside a document with each of its keys."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [place for key in keys for place in [(value, key), *places(value[key])]]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_document_is_refused_with_problems_or_becomes_python_that_compiles(data: st.DataObject) -> None:
    document = deepcopy(EVERY_NODE)
    for _ in range(data.draw(st.integers(1, 4))):
        container, key = data.draw(st.sampled_from(places(document)))
        if data.draw(st.booleans()):
            container[key] = data.draw(JSON)
        else:
            container.pop(key)
    try:
        flow = read_flow(json.dumps(document))
    except FlowInvalid:
        return
    assert read_flow(flow.as_text()) == flow
    generated = generate(flow, "x.json")
    compile(generated.text, "x", "exec")
    compile(begin(flow, generated.tasks, in_package=True), "x", "exec")
    assert errors(document) == []
