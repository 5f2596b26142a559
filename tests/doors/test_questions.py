"""What a question asks and offers, the same in the admin and in the browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from django_tasks_durable.snapshots.parts import WaitSnapshot
from django_tasks_durable.snapshots.questions import choices_of, question_of

VECTORS = json.loads((Path(__file__).parent / "golden" / "questions.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: json.dumps(vector["request"])[:60])
def test_a_question_is_read_as_it_is_put(vector: dict[str, Any]) -> None:
    wait = WaitSnapshot(
        path="wait:ask",
        kind=vector["kind"],
        token="t",
        request_text=json.dumps(vector["request"]),
        deadline=None,
        created_at=None,  # type: ignore[arg-type]
        answer_text=None,
        answered_at=None,
        answered_by="",
        is_consumed=False,
        form=vector["form"],
    )
    assert question_of(vector["request"]) == vector["asks"]
    offered = [[json.loads(value), words] for value, words in choices_of(wait, vector["request"])]
    assert offered == vector["offers"]
