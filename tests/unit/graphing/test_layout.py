"""Where boxes stand and edges run, for any graph."""

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from mtrigger.graphing.layering import Layers, Link, layered
from mtrigger.graphing.placing import Box, Curve, Drawing, breadth_for, placed
from unit.graphing.graphs import graphs

_sizes = st.tuples(st.floats(20, 200), st.floats(20, 200))


def drawing_of(count: int, links: list[Link], size: tuple[float, float]) -> tuple[Layers, Drawing]:
    """The layers, and everything placed: nodes of one size or broad enough, labels of 60 by 14."""
    layers = layered(count, links)
    room = max(size[1], breadth_for(len(links)))
    further = sum(map(len, layers.ranks)) - count
    sizes = [(size[0], room if node % 2 else size[1] + room) for node in range(count)]
    sizes += [(0.0, 0.0)] * further
    for place in layers.labels.values():
        sizes[place] = (60.0, 14.0)
    return layers, placed(layers, sizes, count)


@given(graphs())
def test_every_edge_leads_from_a_rank_to_the_next_one_and_on(graph: tuple[int, list[Link]]) -> None:
    """Through one place in each rank; those that lead back run the other way, and only where there is a
    circle."""
    count, links = graph
    layers = layered(count, links)
    rank = {place: number for number, row in enumerate(layers.ranks) for place in row}
    assert sorted(rank) == list(range(len(rank)))
    for number, (link, way) in enumerate(zip(links, layers.ways, strict=True)):
        ends = (link.end, link.start) if number in layers.backward else (link.start, link.end)
        assert (way[0], way[-1]) == ends
        assert all(rank[other] == rank[one] + 1 for one, other in pairwise(way)) or link.start == link.end
        assert (number in layers.labels) == (link.labelled and link.start != link.end)
        assert number not in layers.labels or layers.labels[number] in way[1:-1]


@given(st.integers(1, 12), st.data())
def test_without_a_circle_nothing_leads_back(count: int, data: st.DataObject) -> None:
    """Edges to later numbers close none."""
    pairs = list(combinations(range(count), 2))
    chosen = data.draw(st.lists(st.sampled_from(pairs), max_size=20)) if pairs else []
    assert not layered(count, [Link(*pair) for pair in chosen]).backward


@given(graphs(), _sizes)
def test_no_two_boxes_overlap(graph: tuple[int, list[Link]], size: tuple[float, float]) -> None:
    """Labels included; and all of it lies within the picture."""
    _, drawing = drawing_of(*graph, size)
    shown = [box for box in drawing.boxes.values() if box.breadth]
    for one, other in combinations(shown, 2):
        along = abs(one.along - other.along) - (one.length + other.length) / 2
        across = abs(one.across - other.across) - (one.breadth + other.breadth) / 2
        assert max(along, across) > 1
    for box in shown:
        assert box.along - box.length / 2 > -0.01
        assert box.along + box.length / 2 < drawing.length + 0.01
        assert box.across - box.breadth / 2 > -0.01
        assert box.across + box.breadth / 2 < drawing.breadth + 0.01


@given(graphs(), _sizes)
def test_an_edge_meets_no_box_but_its_own(graph: tuple[int, list[Link]], size: tuple[float, float]) -> None:
    """It begins and ends at the sides of its two, and may pass its own label."""
    count, links = graph
    layers, drawing = drawing_of(count, links, size)
    for number, (link, curves) in enumerate(zip(links, drawing.curves, strict=True)):
        if link.start == link.end:
            assert curves == ()
            continue
        assert touches(drawing.boxes[link.start], curves[0][0])
        assert touches(drawing.boxes[link.end], curves[-1][-1])
        assert all(one[-1] == other[0] for one, other in pairwise(curves))
        own = {link.start, link.end, layers.labels.get(number, -1)}
        for place, box in drawing.boxes.items():
            if box.breadth and place not in own:
                assert not any(within(box, point) for curve in curves for point in points_of(curve))


@given(graphs())
def test_the_same_graph_gives_the_same_drawing(graph: tuple[int, list[Link]]) -> None:
    """A picture in a repository changes when the rules do, and not otherwise."""
    assert drawing_of(*graph, (80.0, 40.0)) == drawing_of(*graph, (80.0, 40.0))


def test_a_chain_is_straight_and_a_fork_even() -> None:
    """What people see first."""
    _, drawing = drawing_of(3, [Link(0, 1), Link(1, 2)], (80.0, 40.0))
    assert len({round(point[1]) for curves in drawing.curves for curve in curves for point in curve}) == 1
    _, drawing = drawing_of(3, [Link(0, 1), Link(0, 2)], (80.0, 40.0))
    one, *others = (drawing.boxes[node].across for node in range(3))
    assert abs(one - sum(others) / 2) < 12


def test_crossings_that_need_not_be_are_taken_out() -> None:
    """Two pairs that were given crosswise."""
    layers = layered(4, [Link(0, 3), Link(1, 2), Link(0, 2), Link(1, 3), Link(0, 3)])
    assert len(layers.ranks) == 2
    layers = layered(6, [Link(0, 5), Link(1, 4), Link(2, 3)])
    first, second = layers.ranks
    assert [5 - node for node in first] == list(second)


def touches(box: Box, point: tuple[float, float]) -> bool:
    """Whether `point` is on a side of `box` that looks along the flow."""
    on_side = abs(abs(point[0] - box.along) - box.length / 2) < 0.01
    return on_side and abs(point[1] - box.across) < box.breadth / 2


def within(box: Box, point: tuple[float, float]) -> bool:
    """Whether `point` is inside of `box`."""
    return abs(point[0] - box.along) < box.length / 2 and abs(point[1] - box.across) < box.breadth / 2


def points_of(curve: Curve) -> list[tuple[float, float]]:
    """Points of a cubic Bézier curve (its Bernstein form)."""
    found = []
    for step in range(33):
        t = step / 32
        parts = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
        found.append(
            (
                sum(part * point[0] for part, point in zip(parts, curve, strict=True)),
                sum(part * point[1] for part, point in zip(parts, curve, strict=True)),
            )
        )
    return found
