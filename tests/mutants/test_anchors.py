"""Every mutant still finds the line that it breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.mutations import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_each_edit_of_a_mutant_has_one_place(mutant: Mutant) -> None:
    for file, old, new in mutant.edits:
        assert (ROOT / file).read_text().count(old) == 1, f"{file}: {old!r}"
        assert old != new


def test_each_mutant_has_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
