"""The demo's bar moves on a terminal, and is told in lines elsewhere."""

from __future__ import annotations

import io

from example_project.airports.demo.screen import Screen


def test_on_a_terminal_the_bar_is_drawn_over_itself() -> None:
    out = io.StringIO()
    screen = Screen(out, live=True)
    screen.bar(10, "a long label")
    screen.bar(50, "short")
    screen.line("Next.")
    first, second = out.getvalue().split("\r")[1:]
    assert "10.0 %  a long label" in first
    assert second.endswith("short       \nNext.\n")
    assert second.count("#") == 16


def test_elsewhere_every_ten_percent_is_a_line() -> None:
    out = io.StringIO()
    screen = Screen(out, live=False)
    for percent in range(35):
        screen.bar(percent, f"at {percent}")
    assert [line.rpartition(" ")[2] for line in out.getvalue().splitlines()] == ["0", "10", "20", "30"]
    assert "\r" not in out.getvalue()


def test_a_run_that_falls_back_is_not_told_again() -> None:
    out = io.StringIO()
    screen = Screen(out, live=False)
    for percent in (40, 5, 42):
        screen.bar(percent, "label")
    assert len(out.getvalue().splitlines()) == 1
