"""What is drawn of a flow: valid, complete, escaped, and the same each time."""

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.graphing.flow import Edge, Flow, Node
from mtrigger.graphing.mermaid import chart
from mtrigger.graphing.svg import picture
from mtrigger.graphing.texts import shortened, wrapped
from unit.graphing.graphs import flows

SVG = "{http://www.w3.org/2000/svg}"
ELEMENTS = {f"{SVG}{name}" for name in ("svg", "title", "style", "rect", "g", "path", "text")}


def flow_with(text: str) -> Flow:
    """Two boxes and an arrow that all hold `text`."""
    nodes = tuple(Node(f"n{number}", "rule", text, text, text, (text,), text) for number in range(2))
    return Flow(nodes, (Edge("n0", "n1", text),))


@given(flows())
def test_any_flow_is_valid_xml_with_every_box_and_arrow(flow: Flow) -> None:
    """And with nothing that could run, or fetch anything."""
    text = picture(flow)
    root = ET.fromstring(text)
    assert {element.tag for element in root.iter()} <= ELEMENTS
    assert not [
        name for element in root.iter() for name in element.attrib if "href" in name or name[:2] == "on"
    ]
    assert "url(" not in text
    assert len(root.findall(f"{SVG}g")) == len(flow.nodes)
    assert len(root.findall(f"{SVG}path[@d]")) == 2 * len(flow.edges)
    assert len(root.findall(f"{SVG}text")) == sum(1 for edge in flow.edges if edge.label)
    assert picture(flow) == text


@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", 'a"b', "a & b", "]]>", "&lt;", "é 日本 \U0001f600"]
)
def test_names_are_shown_as_they_are(text: str, direction: str) -> None:
    """Whatever XML would make of them."""
    root = ET.fromstring(picture(flow_with(text), "right" if direction == "right" else "down"))
    shown = [element.text for element in root.iter(f"{SVG}text")]
    assert shown.count(shortened(text, 30)) >= 3


@pytest.mark.parametrize("text", ["a\x00b", "a\x1bb", "\ud800", "\ufffe"])
def test_what_xml_cannot_hold_is_a_question_mark(text: str) -> None:
    """No name makes a picture that does not open."""
    ET.fromstring(picture(flow_with(text)).encode("utf-8"))


@given(flows())
def test_any_flow_is_one_chart(flow: Flow) -> None:
    """A line for each box and arrow, of which the texts can close nothing."""
    first, *lines = chart(flow).splitlines()
    assert first in ("flowchart LR", "flowchart TD")
    inside = r'"(?:[^"<>&`*|\\{}\[\]$#]|#[0-9]+;|</?b>|<br/>)*"'
    box = re.compile(rf"  n[0-9]+[\[(/]+{inside}[\])/]+:::[a-z]+")
    arrow = re.compile(rf"  n[0-9]+ (?:-->|-\.->)(?:\|{inside}\|)? n[0-9]+")
    classes = re.compile(r"  classDef [a-z]+ [a-z0-9#,:. -]+")
    assert sum(1 for line in lines if box.fullmatch(line)) == len(flow.nodes)
    assert sum(1 for line in lines if arrow.fullmatch(line)) == len(flow.edges)
    assert all(box.fullmatch(line) or arrow.fullmatch(line) or classes.fullmatch(line) for line in lines)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("big-order", "big-order"),
        ('a"b', "a#34;b"),
        ("a > 1", "a #62; 1"),
        ("#35;", "#35;35#59;"),
        ("1. x", "1#46; x"),
        ("- x", "#45; x"),
        (r"\n", "#92;\u200bn"),
    ],
)
def test_what_means_something_in_a_chart_is_written_as_a_number(name: str, written: str) -> None:
    """Names, conditions and labels alike."""
    lines = chart(flow_with(name)).splitlines()
    assert f"<b>{written}</b>" in lines[1]
    assert f'|"{written}"|' in lines[3]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ()),
        ("short", ("short",)),
        ("one two three", ("one two", "three")),
        ("one two three four", ("one two", "three f…")),
        ("unbroken-word", ("unbroke…",)),
        ("a {{ b }}", ("a", "{{\u00a0b\u00a0}}")),
        (" a\n b ", ("a b",)),
    ],
)
def test_a_text_is_broken_at_spaces(text: str, lines: tuple[str, ...]) -> None:
    """Into two lines of eight characters at most."""
    assert wrapped(text, 8, 2) == lines


@given(st.text(), st.integers(1, 30), st.integers(1, 3))
def test_lines_are_never_longer_than_they_may_be(text: str, longest: int, lines: int) -> None:
    """Nor more."""
    found = wrapped(text, longest, lines)
    assert len(found) <= lines
    assert all(len(line) <= longest for line in found)
