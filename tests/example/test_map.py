"""The map is drawn as it should be, and holds nothing that a strict content policy refuses."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from example_project.airports import maps
from example_project.airports.hops import Point
from example_project.airports.maps import Arc

SVG = "{http://www.w3.org/2000/svg}"


def parse(points: list[Point], arcs: list[Arc]) -> ElementTree.Element:
    """Draw a map and read it as XML."""
    return ElementTree.fromstring(maps.draw(points, arcs, title="Title", description="Words"))


def path(drawing: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """Find the paths of a class."""
    return [each for each in drawing.iter(f"{SVG}path") if each.get("class") == name]


def test_the_middle_of_the_world_is_the_middle_of_the_map() -> None:
    (dots,) = path(parse([Point("A", 0, 0)], []), "airports")
    assert dots.get("d") == f"M{maps.WIDTH / 2:.1f} {maps.HEIGHT / 2:.1f}h0"


def test_the_map_is_as_wide_as_the_equator_and_higher_than_a_third_of_it() -> None:
    assert maps.project(0, 180)[0] == pytest.approx(2.7066, abs=0.001)
    assert maps.project(90, 0)[1] == pytest.approx(1.3173, abs=0.001)


def test_airports_on_one_dot_are_drawn_once() -> None:
    (dots,) = path(parse([Point("A", 10, 10), Point("B", 10, 10.0001)], []), "airports")
    assert (dots.get("d") or "").count("M") == 1


def test_a_hop_over_the_date_line_leaves_the_map_and_comes_in_again() -> None:
    (hop,) = path(parse([], [Arc(Point("A", 10, 170), Point("B", -10, -170), "over")]), "hop")
    assert (hop.get("d") or "").count("M") == 2


def test_a_hop_within_the_map_is_one_line_with_its_words() -> None:
    (hop,) = path(parse([], [Arc(Point("A", 10, 20), Point("B", 60, 70), "A <to> B")]), "hop")
    assert (hop.get("d") or "").count("M") == 1
    assert hop.findtext(f"{SVG}title") == "A <to> B"


@pytest.mark.parametrize("ends", [((5, 5), (5, 5)), ((90, 0), (-90, 0))])
def test_a_hop_without_one_great_circle_is_still_drawn(ends: tuple[tuple[float, float], tuple[float, float]]) -> None:
    start, end = ends
    assert path(parse([], [Arc(Point("A", *start), Point("B", *end), "odd")]), "hop")


def test_there_is_no_inline_style_or_script() -> None:
    drawing = parse([Point("A", 1, 1)], [Arc(Point("A", 1, 1), Point("B", 2, 2), "hop")])
    for element in drawing.iter():
        assert element.tag not in {f"{SVG}style", f"{SVG}script"}
        assert "style" not in element.attrib
        assert not any(name.startswith("on") for name in element.attrib)
