"""The table of the peers says what was measured, and of each ratio which of the two is quicker."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from tests.benchmarks.peers import measuring, page
from tests.benchmarks.peers.peers import PEERS

OURS: dict[str, Any] = {
    "enqueue_per_s": 1000.0,
    "enqueue_many_per_s": 40_000.0,
    "drain_per_s": {"1": 6000.0, "2": 11_000.0},
    "pickup_ms": {"p50": 5.0, "p99": 7.0},
    "steps_per_s": {"sequential": 1400.0, "concurrent": 6500.0},
    "resume_ms": {"1000": 30.0, "10000": 120.0},
    "growth": {"finished_1m": 0.98, "future_100k": 0.96},
}
SLOW = {"enqueue_per_s": 500.0, "drain_per_s": {"1": 600.0, "2": 800.0}, "pickup_ms": {"p50": 20.0, "p99": 50.0}}


def test_a_ratio_above_one_means_that_we_are_quicker_whatever_the_unit() -> None:
    *_head, row = page.ratios(OURS, {"Slow": SLOW})

    assert row == "| Slow | 2.0 | - | 10 | 14 | 4.0 | - | - | - | - | - |"


def test_what_a_peer_cannot_do_is_left_open_in_the_table() -> None:
    *_head, ours, slow = page.table({"this": OURS, "Slow": SLOW})

    assert ours == "| this | 1,000 | 40,000 | 6,000 | 11,000 | 5.0 / 7.0 | 1,400 | 6,500 | 30 / 120 | 0.98 | 0.96 |"
    assert slow == "| Slow | 500 | - | 600 | 800 | 20.0 / 50.0 | - | - | - | - | - |"


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.driver)
def test_a_driver_has_every_action_that_is_asked_of_it(peer: Any) -> None:
    source = (measuring.ROOT / "tests/benchmarks/peers/drivers" / f"{peer.driver}.py").read_text()
    if "of_django.run" in source:
        source = (measuring.ROOT / "tests/benchmarks/peers/drivers/of_django.py").read_text()
    (call,) = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "kit.run"
    ]
    actions = {keyword.arg for keyword in call.keywords}

    wanted = {"prepare", "enqueue", "pickup", "work"}
    wanted |= {"bulk"} if peer.has_bulk else set()
    wanted |= {"workflows", "resume"} if peer.has_steps else set()
    assert wanted <= actions
