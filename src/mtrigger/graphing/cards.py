"""What stands in one box of a picture, and how large that makes it. Pixels, from the box's own corner."""

from collections.abc import Iterator
from dataclasses import dataclass

from mtrigger.graphing.flow import Node
from mtrigger.graphing.look import LOOKS
from mtrigger.graphing.texts import code_width, escaped, shortened, width, wrapped

_SIGN = 26
_LEFT = 10
_TEXT = _LEFT + _SIGN + 9
_RIGHT = 12
_TITLE = (29, 2)
_CODE = (30, 2)
"""The most characters of a line, and the most lines."""

_MARK = 34
_WIDEST = 200.0
_BOLD = 1.07
_SMALLEST = 110.0
_LINE = 16.0
_CODE_LINE = 15.0


@dataclass(frozen=True, slots=True)
class Card:
    """A box with its texts, shortened to what is shown; pills are rows of marks."""

    node: Node
    title: tuple[str, ...]
    code: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    width: float
    height: float


def card(node: Node) -> Card:
    """The box of `node`, as small as its texts allow."""
    title, code = wrapped(node.title, *_TITLE), wrapped(node.code, *_CODE)
    marks = [shortened(mark, _MARK) for mark in node.marks]
    rows = tuple(_rows(marks))
    widths = (
        width(node.caption, 10),
        *(width(line, 13, _BOLD) for line in title),
        *(code_width(line, 11) for line in code),
        *(sum(_pill(mark) + 5 for mark in row) - 5 for row in rows),
    )
    height = 28 + len(title) * _LINE + len(code) * _CODE_LINE + len(rows) * (_LINE + 3)
    return Card(node, title, code, rows, max(_SMALLEST, _TEXT + max(widths) + _RIGHT), height)


def drawn(card: Card, x: float, y: float, size: tuple[float, float]) -> Iterator[str]:
    """The card as SVG, with its corner at `x`, `y`; it may be given more room than it needs."""
    node, look = card.node, LOOKS[card.node.kind]
    top = (size[1] - card.height) / 2
    kind = "box rule" if node.kind == "rule" else "box"
    dashes = "" if node.enabled else ' stroke-dasharray="4 3"'
    yield f'<g transform="translate({x:.1f} {y:.1f})"' + ("" if node.enabled else ' class="off"') + ">"
    yield f"<title>{escaped(_told(node))}</title>"
    yield f'<rect class="{kind}" width="{size[0]:.1f}" height="{size[1]:.1f}" rx="8"{dashes}/>'
    sign = size[1] / 2 - _SIGN / 2 if not card.code and not card.rows else top + 9
    yield f'<rect x="{_LEFT}" y="{sign:.1f}" width="{_SIGN}" height="{_SIGN}" rx="6" fill="{look.colour}"/>'
    yield f'<path class="sign" transform="translate({_LEFT + 5} {sign + 5:.1f})" d="{look.sign}"/>'
    yield _text("caption", _TEXT, top + 17, node.caption)
    line = top + 16
    for text in card.title:
        line += _LINE
        yield _text("title", _TEXT, line, text)
    line += 1 if card.code else 0
    for text in card.code:
        line += _CODE_LINE
        yield _text("code", _TEXT, line, text)
    for row in card.rows:
        line += _LINE + 3
        left = float(_TEXT)
        for mark in row:
            pill = _pill(mark)
            place = f'x="{left:.1f}" y="{line - 12:.1f}" width="{pill:.1f}" height="16"'
            yield f'<rect class="pill" {place} rx="8"/>'
            yield _text("mark", left + pill / 2, line - 0.5, mark)
            left += pill + 5
    yield "</g>"


def _rows(marks: list[str]) -> Iterator[tuple[str, ...]]:
    """Marks in rows that are not too wide."""
    row: list[str] = []
    used = 0.0
    for mark in marks:
        if row and used + _pill(mark) > _WIDEST:
            yield tuple(row)
            row, used = [], 0.0
        row.append(mark)
        used += _pill(mark) + 5
    if row:
        yield tuple(row)


def _pill(mark: str) -> float:
    return width(mark, 10) + 12


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escaped(text)}</text>'


def _told(node: Node) -> str:
    parts = (f"{node.caption}: {node.title}", node.text or node.code, ", ".join(node.marks))
    return "\n".join(part for part in parts if part)
