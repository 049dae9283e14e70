"""A flow as a picture in SVG: boxes with signs, curved arrows, readable by day and by night.

Promises: the same flow gives the same bytes; every text is escaped; nothing in the picture is a script, or is
fetched from elsewhere.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from mtrigger.graphing.cards import card, drawn
from mtrigger.graphing.flow import Edge, Flow
from mtrigger.graphing.layering import Layers, Link, layered
from mtrigger.graphing.look import STYLE
from mtrigger.graphing.placing import Curve, breadth_for, placed
from mtrigger.graphing.texts import escaped, shortened, width

Direction = Literal["auto", "right", "down"]

_MARGIN = 24.0
_WIDE = 1040.0
"""Up to this width, a picture is readable in a page; a wider one is drawn downwards if that is narrower."""

_LABEL = 30
_LABEL_SIZE = 10.5
_LABEL_HEIGHT = 14.0
_ARROW = 7.0


def picture(flow: Flow, direction: Direction = "auto", title: str = "What flows where") -> str:
    """`flow` as an SVG document."""
    if direction != "auto":
        return _Picture(flow, direction == "down").document(title)
    right = _Picture(flow, downwards=False)
    if right.width <= _WIDE:
        return right.document(title)
    down = _Picture(flow, downwards=True)
    return (down if down.width < right.width else right).document(title)


class _Picture:
    """A flow with the places of its boxes."""

    def __init__(self, flow: Flow, downwards: bool) -> None:  # noqa: FBT001 - one of two directions
        self._flow = flow
        self._downwards = downwards
        self._cards = [card(node) for node in flow.nodes]
        number = {node.id: index for index, node in enumerate(flow.nodes)}
        self._labels = [shortened(edge.label, _LABEL) for edge in flow.edges]
        links = [Link(number[edge.start], number[edge.end], bool(edge.label)) for edge in flow.edges]
        layers = layered(len(flow.nodes), links)
        self._layers = layers
        self._drawing = placed(layers, self._sizes(layers, links), len(flow.nodes))
        drawing = self._drawing
        self.width, self.height = (
            edge + 2 * _MARGIN for edge in self._turned(drawing.length, drawing.breadth)
        )

    def document(self, title: str) -> str:
        """The whole of it."""
        size = f'width="{self.width:.0f}" height="{self.height:.0f}"'
        view = f'viewBox="0 0 {self.width:.0f} {self.height:.0f}"'
        inner = f'width="{self.width - 1:.0f}" height="{self.height - 1:.0f}"'
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} role="img" aria-labelledby="flow-title">',
            f'<title id="flow-title">{escaped(title)}</title>',
            f"<style>\n{STYLE}\n</style>",
            f'<rect class="page" x=".5" y=".5" {inner} rx="10"/>',
            *self._edges(),
            *self._boxes(),
            "</svg>",
        ]
        return "\n".join(lines) + "\n"

    def _sizes(self, layers: Layers, links: Sequence[Link]) -> list[tuple[float, float]]:
        """Length along and breadth across of every place; to the right, the boxes of a rank are equal."""
        count = len(self._cards)
        leaving, entering = [0] * count, [0] * count
        for link in links:
            leaving[link.start] += 1
            entering[link.end] += 1
        need = [breadth_for(max(pair)) for pair in zip(leaving, entering, strict=True)]
        sizes = [
            (one.height, max(one.width, room)) if self._downwards else (one.width, max(one.height, room))
            for one, room in zip(self._cards, need, strict=True)
        ]
        further = sum(len(row) for row in layers.ranks) - count
        sizes += [(0.0, 0.0)] * further
        for number, place in layers.labels.items():
            wide = width(self._labels[number], _LABEL_SIZE) + 8
            sizes[place] = (_LABEL_HEIGHT, wide) if self._downwards else (wide, _LABEL_HEIGHT)
        if not self._downwards:
            for row in layers.ranks:
                widest = max(sizes[place][0] for place in row)
                for place in row:
                    if place < count:
                        sizes[place] = (widest, sizes[place][1])
        return sizes

    def _turned(self, along: float, across: float) -> tuple[float, float]:
        return (across, along) if self._downwards else (along, across)

    def _boxes(self) -> Iterator[str]:
        for index, shown in enumerate(self._cards):
            x, y, size = self._corner(index)
            yield from drawn(shown, x, y, size)
        for link, place in self._layers.labels.items():
            x, y, size = self._corner(place)
            middle, text = (x + size[0] / 2, y + size[1] / 2 + 3.5), self._labels[link]
            yield (
                f'<rect class="behind" x="{x:.1f}" y="{y:.1f}" width="{size[0]:.1f}" height="{size[1]:.1f}"/>'
                f'<text class="label" x="{middle[0]:.1f}" y="{middle[1]:.1f}">{escaped(text)}</text>'
            )

    def _corner(self, place: int) -> tuple[float, float, tuple[float, float]]:
        """The upper left corner of what stands at `place`, and its width and height."""
        box = self._drawing.boxes[place]
        size = self._turned(box.length, box.breadth)
        middle = self._turned(box.along, box.across)
        return _MARGIN + middle[0] - size[0] / 2, _MARGIN + middle[1] - size[1] / 2, size

    def _edges(self) -> Iterator[str]:
        for edge, curves in zip(self._flow.edges, self._drawing.curves, strict=True):
            if curves:
                yield from self._edge(edge, curves)

    def _edge(self, edge: Edge, curves: tuple[Curve, ...]) -> Iterator[str]:
        kind = "" if edge.kind == "data" else f" {edge.kind}"
        tip = curves[-1][-1]
        ahead = 1.0 if curves[0][0][0] < tip[0] else -1.0
        path = [f"M{self._point(curves[0][0])}"]
        ends = [*(curve[-1] for curve in curves[:-1]), (tip[0] - ahead * (_ARROW - 1), tip[1])]
        for (start, first, second, _), end in zip(curves, ends, strict=True):
            if start == first:
                path.append(f"L{self._point(end)}")
            else:
                path.append(f"C{self._point(first)} {self._point(second)} {self._point(end)}")
        yield f'<path class="edge{kind}" d="{"".join(path)}"/>'
        wings = [(tip[0] - ahead * _ARROW, tip[1] + side * 4) for side in (-1, 1)]
        head = "L".join(self._point(point) for point in (tip, *wings))
        yield f'<path class="head{kind}" d="M{head}z"/>'

    def _point(self, point: tuple[float, float]) -> str:
        x, y = self._turned(*point)
        return f"{x + _MARGIN:.1f} {y + _MARGIN:.1f}"
