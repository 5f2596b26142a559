"""When a mutant counts as killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.__main__ import TESTS_FAILED, _run, survives
from tests.mutants.mutations import Mutant

PLAIN, HANGING = Mutant("plain", (), ()), Mutant("hanging", (), (), hangs=True)
TESTS = {
    "passes": "def test_it(): pass",
    "fails": "def test_it(): assert False",
    "hangs": "def test_it():\n    import time\n    time.sleep(60)",
    "is broken": "def test_it(:",
}


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("method", ["thread", "signal"])
@pytest.mark.parametrize(
    ("name", "mutant", "is_killed"),
    [
        ("passes", PLAIN, False),
        ("fails", PLAIN, True),
        ("hangs", PLAIN, False),
        ("hangs", HANGING, True),
        ("fails", HANGING, True),
        ("is broken", PLAIN, False),
    ],
)
def test_a_mutant_is_killed_by_a_failure_and_by_time_only_if_it_hangs(
    name: str, mutant: Mutant, is_killed: bool, method: str, tmp_path: Path
) -> None:
    (tmp_path / "test_one.py").write_text(TESTS[name])
    (tmp_path / "setup.cfg").write_text(f"[tool:pytest]\ntimeout_method = {method}\naddopts = -p no:django\n")
    code, output = _run(tmp_path, "", ["test_one.py"], seconds=2)
    assert (survives(mutant, code, output) == "") is is_killed, output
    assert (code == TESTS_FAILED) is (name in ("fails", "hangs")), output
