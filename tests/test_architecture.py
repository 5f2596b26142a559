"""What import-linter cannot say about the house: who touches rows, whose clock, which brand, how large."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "django_tasks_durable"
LARGE_FILES = ROOT / "docs" / "adr" / "0004-large-files.md"
FILES = sorted(
    path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if path.parent.name != "migrations"
)

ROOMS_WITH_ROWS = ("store/", "snapshots/", "admin/")
BRANDS = re.compile(r"postgres|sqlite|mysql|mariadb", re.IGNORECASE)
SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|SET|PRAGMA|CREATE|ALTER|BEGIN|LOCK) ", re.IGNORECASE)
WALL_CLOCKS = {
    ("timezone", "now"),
    ("time", "time"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
}
EMPTY_WORDS = re.compile(r"(^|_)(helpers?|utils?|managers?|misc|stuff|jobs?)(_|$)")

# Each breach that is meant, with its reason. A file here that no longer breaks its rule fails a test.
MEANT: dict[str, dict[str, str]] = {
    "rows": {
        "backend/results.py": "asks whether the caller is inside a transaction, and touches no row",
        "checks/__init__.py": "compares the settings of connections with what a worker needs of them",
        "executors/thread.py": "a thread that ends closes the connections that user code opened in it",
        "live/reading.py": "a thread that ends closes the connections that its reads opened",
        "live/tail.py": "a thread that ends closes the connections that its looks opened",
        "management/bench/drivers.py": "a yardstick opens its bare driver with Django's parameters",
        "management/bench/limits.py": "a yardstick is asked for by the alias of its database",
        "management/bench/place.py": "the place to measure in is made and removed with plain SQL",
        "management/bench/tasks.py": "a task that is measured writes a row, as tasks do",
        "management/commands/benchtasks.py": "makes and drops the scratch database that it measures on",
        "primitives/tags.py": "a reference in a value is looked up among the rows of the project, never ours",
        "worker/news.py": "a thread that ends closes the connections that signal receivers opened in it",
    },
    "brand": {
        "management/bench/costs.py": "only one brand tells how much it has written to its log",
        "management/bench/drivers.py": "a yardstick is what one brand reaches by its own best statements",
        "management/bench/limits.py": "a yardstick is chosen by the database it measures",
        "management/bench/place.py": "a schema, a file and a database are made in different ways",
        "management/bench/targets.py": "the targets differ from database to database",
        "management/commands/benchtasks.py": "figures are compared with those of the same brand only",
        "snapshots/instants.py": "Django asks an expression for its SQL by a method named after the brand",
    },
    "clock": {},
    "imports": {
        "authoring/middleware.py": "the settings name middleware by their dotted paths",
        "authoring/tasks.py": "a Task that is copied or sent to a child process finds itself, as Django has it",
        "api/base.py": "the settings may name classes of DRF by their dotted paths",
        "checks/__init__.py": "what the options name is imported to see whether it can be",
        "backend/exposure.py": "the settings name what is added to a call from outside by its dotted path",
        "conf.py": "the settings may name a class by its dotted path",
        "executors/base.py": "the settings name an executor by its dotted path",
        "primitives/sealing.py": "the settings name the payload codec by its dotted path",
        "snapshots/policy.py": "the settings name who may see what by dotted paths",
    },
}


@cache
def parsed(file: str) -> ast.Module:
    """Parse a file of the package once."""
    return ast.parse((PACKAGE / file).read_text())


def breaches(rule: Callable[[str], Iterator[str]], meant: str) -> list[str]:
    """Apply a rule to every file that has no written reason to break it."""
    return [found for file in FILES if file not in MEANT[meant] for found in rule(file)]


def at(file: str, node: ast.AST, what: str) -> str:
    """Name a place so that an editor can jump to it."""
    return f"django_tasks_durable/{file}:{getattr(node, 'lineno', 0)} {what}"


def attributes(file: str) -> Iterator[tuple[ast.Attribute, str, str]]:
    """Give every `owner.name` of a file."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Attribute):
            owner = node.value
            yield node, owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", ""), node.attr


def imported(file: str) -> Iterator[tuple[ast.AST, str, str]]:
    """Give every name that a file imports: the node, the module, the name."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.ImportFrom):
            yield from ((node, node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((node, alias.name, "") for alias in node.names)


def row_handling(file: str) -> Iterator[str]:
    """Find `.objects`, `transaction` and `connection(s)` outside the rooms that hold rows."""
    if file.startswith(ROOMS_WITH_ROWS):
        return
    for node, _, name in attributes(file):
        if name in {"objects", "_default_manager", "_base_manager"}:
            yield at(file, node, f".{name}")
    for node, module, name in imported(file):
        if module.startswith("django.db") and name in {"connection", "connections", "transaction"}:
            yield at(file, node, f"from {module} import {name}")


def brand_names(file: str) -> Iterator[str]:
    """Find a database's brand in code: `.vendor`, a literal that names one, a method named after one."""
    if file.startswith("store/vendors/") or file == "live/hub.py":
        return
    documentation = {id(text) for text in docstrings(parsed(file))}
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Attribute) and node.attr == "vendor":
            yield at(file, node, ".vendor")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            # A message may tell a person about PostgreSQL; a bare word or SQL is the code knowing it.
            if BRANDS.search(node.value) and (" " not in node.value.strip() or SQL.match(node.value)):
                yield at(file, node, repr(node.value[:60]))
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and BRANDS.search(node.name):
            yield at(file, node, node.name)


def wall_clocks(file: str) -> Iterator[str]:
    """Find an instant taken from this host's clock."""
    if file == "primitives/clock.py":
        return
    for node, owner, name in attributes(file):
        if (owner, name) in WALL_CLOCKS:
            yield at(file, node, f"{owner}.{name}")
    for node, module, name in imported(file):
        if (module, name) == ("time", "time") or (module, name) == ("django.utils.timezone", "now"):
            yield at(file, node, f"from {module} import {name}")


def dangerous_imports(file: str) -> Iterator[str]:
    """Find what would run whatever somebody wrote into a row."""
    for node, module, name in imported(file):
        if module in {"pickle", "marshal", "shelve", "dill", "cloudpickle"} or name == "import_string":
            yield at(file, node, f"{module} {name}")


def docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Give the docstring nodes of a module and of all that it defines."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


def public_functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Give the public functions of a module, and the public methods of its public classes."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
            yield node


@cache
def said_by_class() -> dict[str, set[str]]:
    """Return the documented methods of each class of the package, by the class's name."""
    return {
        node.name: {method.name for method in public_functions(node.body) if ast.get_docstring(method)}
        for file in FILES
        for node in parsed(file).body
        if isinstance(node, ast.ClassDef)
    }


def documented_by_a_base(tree: ast.Module) -> set[ast.stmt]:
    """Return the methods that say nothing because the class they override says it."""
    silent: set[ast.stmt] = set()
    for node in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
        said = {name for base in bases for name in said_by_class().get(base, set())}
        silent |= {method for method in public_functions(node.body) if method.name in said}
    return silent


def is_overload(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell the signature of an overload, or the setter of a property, from a function of its own."""
    names = {ast.unparse(decorator).rpartition(".")[2] for decorator in function.decorator_list}
    return bool(names & {"overload", "setter"})


def listed_large_files() -> set[str]:
    """Return the files that the decision on large files names."""
    return set(re.findall(r"^\| `([^`]+\.py)` \|", LARGE_FILES.read_text(), re.MULTILINE))


def test_only_the_store_the_snapshots_and_the_admin_touch_rows() -> None:
    assert breaches(row_handling, "rows") == []


def test_only_the_vendors_know_a_brand_of_database() -> None:
    assert breaches(brand_names, "brand") == []


def test_only_the_clock_reads_a_clock_of_this_host() -> None:
    assert breaches(wall_clocks, "clock") == []


@pytest.mark.parametrize(
    ("rule", "meant"),
    [(row_handling, "rows"), (brand_names, "brand"), (wall_clocks, "clock"), (dangerous_imports, "imports")],
)
def test_every_exception_is_still_needed(rule: Callable[[str], Iterator[str]], meant: str) -> None:
    assert [file for file in MEANT[meant] if not list(rule(file))] == []


def test_nothing_is_pickled_and_no_name_from_a_row_is_imported() -> None:
    assert breaches(dangerous_imports, "imports") == []


def test_every_large_file_is_listed_with_its_one_noun() -> None:
    large = {file for file in FILES if len((PACKAGE / file).read_text().splitlines()) > 300}
    assert large == listed_large_files()


def test_every_public_function_has_a_docstring_that_is_a_sentence() -> None:
    found = []
    for file in FILES:
        inherited = documented_by_a_base(parsed(file))
        for function in public_functions(parsed(file).body):
            text = ast.get_docstring(function)
            if is_overload(function) or (text is None and function in inherited):
                continue
            if text is None or not text.splitlines()[0].rstrip().endswith((".", ":", ".)")):
                found.append(at(file, function, function.name))
    assert found == []


def test_every_public_function_is_annotated_in_full() -> None:
    found = []
    for file in FILES:
        for function in public_functions(parsed(file).body):
            given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            bare = [
                argument.arg
                for argument in given
                if argument.annotation is None and argument.arg not in {"self", "cls"}
            ]
            if bare or function.returns is None:
                found.append(at(file, function, f"{function.name} {bare}"))
    assert found == []


def test_every_module_says_what_it_is_and_postpones_its_annotations() -> None:
    found = []
    for file in FILES:
        tree = parsed(file)
        if not tree.body:
            continue
        if ast.get_docstring(tree) is None:
            found.append(f"{file}: no docstring")
        defines = any(
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) for node in ast.walk(tree)
        )
        if defines and not any(name == "annotations" for _, module, name in imported(file) if module == "__future__"):
            found.append(f"{file}: no `from __future__ import annotations`")
    assert found == []


def test_no_name_is_made_of_an_empty_word() -> None:
    names = {(file, part) for file in FILES for part in Path(file).with_suffix("").parts}
    for file in FILES:
        for node in ast.walk(parsed(file)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.add((file, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.name).lower()))
    assert sorted((file, name) for file, name in names if EMPTY_WORDS.search(name)) == []


def test_the_project_names_no_registry_and_no_folder_of_one_machine() -> None:
    address = re.compile(r"\w+://[\w.-]+")
    home = re.compile(r"(?<![\w.])/(?:home|Users)/\w+|(?<![\w.])/root/\w+")
    for name in ("setup.cfg", "pyproject.toml", ".ci/run"):
        assert address.findall((ROOT / name).read_text()) == [], name
    found = [path for path in [*PACKAGE.rglob("*.py"), *(ROOT / "docs").rglob("*.md")] if home.search(path.read_text())]
    assert found == []
