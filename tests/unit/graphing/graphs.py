"""Random graphs and flows for the tests of pictures."""

from typing import get_args

from hypothesis import strategies as st

from mtrigger.graphing.flow import Edge, EdgeKind, Flow, Node
from mtrigger.graphing.layering import Link
from mtrigger.graphing.look import LOOKS

MOST = 14


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[Link]]:
    """Up to 14 nodes, with circles, several edges between two, and edges from a node to itself."""
    count = draw(st.integers(1, MOST))
    ends = st.integers(0, count - 1)
    return count, draw(st.lists(st.builds(Link, ends, ends, st.booleans()), max_size=2 * MOST))


_texts = st.text(max_size=60) | st.sampled_from(
    ("shop.orders", "<b>", '"', "]]>", "a & b", "{{ document.x }}", "1. x")
)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """Up to ten boxes with any texts, and arrows between different ones."""
    count = draw(st.integers(0, 10))
    nodes = tuple(
        Node(
            f"n{number}",
            draw(st.sampled_from(sorted(LOOKS))),
            draw(_texts),
            draw(_texts),
            draw(_texts),
            tuple(draw(st.lists(_texts, max_size=3))),
            draw(_texts),
            draw(st.booleans()),
        )
        for number in range(count)
    )
    pairs = [(one.id, other.id) for one in nodes for other in nodes if one is not other]
    made = st.tuples(st.sampled_from(pairs), _texts, st.sampled_from(get_args(EdgeKind)))
    edges = draw(st.lists(made, max_size=14)) if pairs else []
    return Flow(nodes, tuple(Edge(*ends, label, kind) for ends, label, kind in edges))
