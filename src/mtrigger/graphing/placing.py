"""Coordinates for a layered drawing: where each box stands and which way each edge takes.

Everything is said *along* the flow (from rank to rank) and *across* it, so that the same code draws to the
right and downwards. Promises: no two boxes overlap, and an edge meets no box but its own two.

Across, the boxes of a rank stand so that the edges are as straight as their order allows: the squares of all
bends are least (coordinate by coordinate; within a rank it is isotonic regression, by pooling adjacent
violators).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mtrigger.graphing.layering import Layers

_MOST_ROUNDS = 600
_STEPS = 200_000
"""So often at most a place is moved towards its neighbours, of all places together."""

_STILL = 0.02
_GAP_ACROSS = 18.0
_GAP_LANE = 12.0
_GAP_LABEL_LANE = 7.0
_GAP_RANKS = 52.0
_GAP_LABEL = 28.0
_FREE = 4.0
"""So far an edge stays away from the labels of others."""

_STRAIGHT = 16.0
"""So much more a long edge is kept straight than a short one, and an edge at the end where it is alone."""

_PORT = 14.0
"""So far from each other edges leave a box."""

Point = tuple[float, float]
Curve = tuple[Point, Point, Point, Point]
"""A cubic Bézier curve: its start, its two control points, its end."""


@dataclass(frozen=True, slots=True)
class Box:
    """The middle and the size of what stands somewhere, along and across."""

    along: float
    across: float
    length: float
    breadth: float


@dataclass(frozen=True, slots=True)
class Drawing:
    """A box for every place, the curves of every link in its own direction, and how large it all is."""

    boxes: Mapping[int, Box]
    curves: tuple[tuple[Curve, ...], ...]
    length: float
    breadth: float


def breadth_for(links: int) -> float:
    """How broad a box must be, across, for so many links on one side."""
    return _PORT * (links + 1)


def placed(layers: Layers, sizes: Sequence[Point], count: int) -> Drawing:
    """Place everything: `sizes` are lengths and breadths of the `count` nodes, and then of the further
    places (0, 0 for one that is no label)."""
    ports = _ports(layers, count)
    across = _across(layers, sizes, ports, count)
    along, edges = _along(layers, sizes, count)
    boxes = {
        place: Box(along[number], across[place], *sizes[place])
        for number, row in enumerate(layers.ranks)
        for place in row
    }
    rows = {place: number for number, row in enumerate(layers.ranks) for place in row}
    stand = [tuple(boxes[place] for place in row if sizes[place][1]) for row in layers.ranks]
    curves = []
    for number, way in enumerate(layers.ways):
        stops = [
            _Stop(
                edges[rows[place]],
                boxes[place],
                boxes[place].across + ports.get((number, place), 0.0),
                () if place < count else stand[rows[place]],
            )
            for place in way
        ]
        found = _curves(_shortcuts(stops), number in layers.backward) if way[0] != way[-1] else ()
        curves.append(found)
    length = edges[-1][1] if edges else 0.0
    breadth = max((box.across + box.breadth / 2 for box in boxes.values()), default=0.0)
    return Drawing(boxes, tuple(curves), length, breadth)


def _ports(layers: Layers, count: int) -> dict[tuple[int, int], float]:
    """How far from the middle of its nodes each link meets them: (link, node) -> offset. On each side, links
    are in the order of the places they come from or go to."""
    order = {place: index for row in layers.ranks for index, place in enumerate(row)}
    sides: dict[tuple[int, bool], list[tuple[int, int]]] = {}
    for number, way in enumerate(layers.ways):
        if way[0] != way[-1]:
            sides.setdefault((way[0], True), []).append((order[way[1]], number))
            sides.setdefault((way[-1], False), []).append((order[way[-2]], number))
    found = {}
    for (node, _), met in sides.items():
        for index, (_, number) in enumerate(sorted(met)):
            found[number, node] = (index - (len(met) - 1) / 2) * _PORT
    return found


def _across(
    layers: Layers, sizes: Sequence[Point], ports: Mapping[tuple[int, int], float], count: int
) -> dict[int, float]:
    degree = Counter(end for way in layers.ways for end in (way[0], way[-1]))
    pulls: dict[int, list[tuple[int, float, float]]] = {place: [] for row in layers.ranks for place in row}
    for number, way in enumerate(layers.ways):
        alone = way[0] if degree[way[0]] < degree[way[-1]] else way[-1]
        for one, other in pairwise(way):
            bend = ports.get((number, other), 0.0) - ports.get((number, one), 0.0)
            weight = _STRAIGHT if alone in (one, other) or min(one, other) >= count else 1.0
            pulls[one].append((other, bend, weight))
            pulls[other].append((one, -bend, weight))
    at: dict[int, float] = {}
    gaps = [_gaps(row, sizes, count) for row in layers.ranks]
    for number, row in enumerate(layers.ranks):
        edge = 0.0
        for place, gap in zip(row, (0.0, *gaps[number]), strict=True):
            edge += gap
            at[place] = edge + (sizes[row[0]][1] / 2)
    rows = list(zip(layers.ranks, gaps, strict=True))
    for turn in range(min(_MOST_ROUNDS, _STEPS // (len(at) + 1))):
        earlier = dict(at)
        for row, apart in rows if turn % 2 else reversed(rows):
            _settle(row, apart, pulls, at)
        if all(abs(at[place] - earlier[place]) < _STILL for place in at):
            break
    first = min((at[place] - sizes[place][1] / 2 for place in at), default=0.0)
    return {place: middle - first for place, middle in at.items()}


def _gaps(row: Sequence[int], sizes: Sequence[Point], count: int) -> list[float]:
    """How far the middles of neighbours must be from each other."""
    found = []
    for one, other in pairwise(row):
        gap = _GAP_LABEL_LANE if min(one, other) >= count else _GAP_LANE
        if sizes[one][1] and sizes[other][1]:
            gap = _GAP_ACROSS
        found.append((sizes[one][1] + sizes[other][1]) / 2 + gap)
    return found


def _settle(
    row: Sequence[int],
    gaps: Sequence[float],
    pulls: Mapping[int, Sequence[tuple[int, float, float]]],
    at: dict[int, float],
) -> None:
    """Move the places of one rank to where they are pulled, as far as their order and the gaps allow."""
    blocks: list[tuple[float, float, int]] = []  # where it wants to be, how much, how many
    offset = 0.0
    for index, place in enumerate(row):
        offset += gaps[index - 1] if index else 0.0
        weight = sum(pull for _, _, pull in pulls[place])
        if weight:
            wanted = sum((at[other] + bend) * pull for other, bend, pull in pulls[place]) / weight
        else:
            wanted, weight = at[place], 0.01
        mean, total, members = wanted - offset, weight, 1
        while blocks and blocks[-1][0] >= mean:
            earlier, heavy, more = blocks.pop()
            mean = (earlier * heavy + mean * total) / (heavy + total)
            total, members = heavy + total, members + more
        blocks.append((mean, total, members))
    offset, index = 0.0, 0
    for mean, _, members in blocks:
        for _ in range(members):
            offset += gaps[index - 1] if index else 0.0
            at[row[index]] = mean + offset
            index += 1


def _along(layers: Layers, sizes: Sequence[Point], count: int) -> tuple[list[float], list[Point]]:
    """The middle of each rank, and where it begins and ends."""
    middles, edges = [], []
    end = 0.0
    for number, row in enumerate(layers.ranks):
        is_label = all(place >= count for place in row)
        if number:
            beside = is_label or all(place >= count for place in layers.ranks[number - 1])
            end += _GAP_LABEL if beside else _GAP_RANKS
        length = max(sizes[place][0] for place in row)
        edges.append((end, end + length))
        middles.append(end + length / 2)
        end += length
    return middles, edges


@dataclass(frozen=True, slots=True)
class _Stop:
    """Where an edge passes a rank: from where to where the rank reaches, the box there (its own node, its
    label, or nothing), how far across, and the boxes that others have there."""

    rank: Point
    box: Box
    across: float
    others: tuple[Box, ...]


def _shortcuts(stops: Sequence[_Stop]) -> list[_Stop]:
    """`stops` without those that are no end and no label, where the edge can as well be one curve."""
    found = [stops[0]]
    passed: tuple[Box, ...] = ()
    for stop, following in pairwise(stops[1:]):
        passed += stop.others
        if stop.box.breadth or not _is_free(_curve(found[-1], following), passed):
            found.append(stop)
            passed = ()
    return [*found, stops[-1]]


def _is_free(curve: Curve, boxes: Sequence[Box]) -> bool:
    """Whether `curve` keeps away from all `boxes`."""
    (start, _), _, _, (end, _) = curve
    steps = 24 + int((end - start) / _FREE)
    for step in range(1, steps):
        along, across = _point(curve, step / steps)
        for box in boxes:
            beside = abs(across - box.across) >= box.breadth / 2 + _FREE
            if not beside and abs(along - box.along) < box.length / 2 + _FREE:
                return False
    return True


def _point(curve: Curve, share: float) -> Point:
    """Where `curve` is after so much of its parameter (De Casteljau)."""
    points = list(curve)
    while len(points) > 1:
        points = [
            (one[0] + (other[0] - one[0]) * share, one[1] + (other[1] - one[1]) * share)
            for one, other in pairwise(points)
        ]
    return points[0]


def _curve(stop: _Stop, following: _Stop) -> Curve:
    """From the end of one rank to the beginning of a later one, along the flow at both ends."""
    start, end = stop.rank[1], following.rank[0]
    middle = (start + end) / 2
    return (
        (start, stop.across),
        (middle, stop.across),
        (middle, following.across),
        (end, following.across),
    )


def _curves(stops: Sequence[_Stop], backward: bool) -> tuple[Curve, ...]:  # noqa: FBT001 - one of two ways
    """From the first stop to the last, or back: straight past boxes, curved between ranks."""
    first, last = stops[0], stops[-1]
    lines = [(first.box.along + first.box.length / 2, first.rank[1], first.across)]
    lines += [(*stop.rank, stop.across) for stop in stops[1:-1]]
    lines.append((last.rank[0], last.box.along - last.box.length / 2, last.across))
    found: list[Curve] = []
    for index, (start, end, across) in enumerate(lines):
        if index:
            found.append(_curve(stops[index - 1], stops[index]))
        if start != end:
            found.append(((start, across), (start, across), (end, across), (end, across)))
    if not backward:
        return tuple(found)
    return tuple((end, second, one, start) for start, one, second, end in reversed(found))
