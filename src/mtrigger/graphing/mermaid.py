"""A flow as a Mermaid flowchart, which GitHub, GitLab and many editors draw where it stands in Markdown
(https://mermaid.js.org/syntax/flowchart.html).

Promise: whatever names and conditions hold, the text is one flowchart and shows them as they are.
"""

import re
from collections.abc import Iterator, Mapping

from mtrigger.graphing.flow import EdgeKind, Flow, Node, NodeKind
from mtrigger.graphing.layering import Link, layered
from mtrigger.graphing.look import LOOKS
from mtrigger.graphing.svg import Direction
from mtrigger.graphing.texts import shortened

_SHAPES: Mapping[NodeKind, tuple[str, str]] = {
    "table": ("[(", ")]"),
    "collection": ("[(", ")]"),
    "topic": ("[[", "]]"),
    "source": ("[/", "/]"),
    "schedule": ("([", "])"),
    "rule": ("[", "]"),
}
_ROUNDED = ("(", ")")
_ARROWS: Mapping[EdgeKind, str] = {"data": "-->", "part": "-.->", "dead": "-.->"}
_MOST_RANKS = 5
"""With more ranks than this, a chart is drawn downwards."""

_CODE = 60
_PLAIN = frozenset(" .,/@:=()+-_·…")
_LIST = re.compile(r"(?:[-+]|[0-9]+\.)(?= |$)")
"""What begins a list in Markdown, which would be refused."""

_NOTHING = "\u200b"
"""A space without width, behind what Mermaid reads once it has its characters: `\\n`, `$$`, signs by name."""


def chart(flow: Flow, direction: Direction = "auto") -> str:
    """`flow` as the text of a flowchart."""
    return "\n".join(_lines(flow, direction)) + "\n"


def _lines(flow: Flow, direction: Direction) -> Iterator[str]:
    numbers = {node.id: number for number, node in enumerate(flow.nodes)}
    if direction == "auto":
        links = [Link(numbers[edge.start], numbers[edge.end]) for edge in flow.edges]
        direction = "down" if len(layered(len(numbers), links).ranks) > _MOST_RANKS else "right"
    yield f"flowchart {'TD' if direction == 'down' else 'LR'}"
    for node in flow.nodes:
        opening, closing = _SHAPES.get(node.kind, _ROUNDED)
        yield f'  n{numbers[node.id]}{opening}"{_text(node)}"{closing}:::{_class(node)}'
    for edge in flow.edges:
        label = f'|"{_escaped(edge.label)}"|' if edge.label else ""
        yield f"  n{numbers[edge.start]} {_ARROWS[edge.kind]}{label} n{numbers[edge.end]}"
    for kind in sorted({node.kind for node in flow.nodes}):
        colour = LOOKS[kind].colour
        yield f"  classDef {kind.replace(' ', '')} stroke:{colour},stroke-width:2px"
    if not all(node.enabled for node in flow.nodes):
        yield "  classDef off stroke-dasharray:4 3,opacity:0.5"


def _class(node: Node) -> str:
    return node.kind.replace(" ", "") if node.enabled else "off"


def _text(node: Node) -> str:
    lines = [_escaped(node.caption), f"<b>{_escaped(shortened(node.title, _CODE))}</b>" if node.title else ""]
    lines += [_escaped(shortened(node.code, _CODE)), _escaped(" · ".join(node.marks))]
    return "<br/>".join(line for line in lines if line)


def _escaped(text: str) -> str:
    """`text` for the inside of quotation marks, shown as it is: what means something to Mermaid, to HTML
    or to Markdown is written as a number."""
    line = " ".join(text.split())
    listed = len(found[0]) if (found := _LIST.match(line)) else 0
    written = "".join(_written(character, index == listed - 1) for index, character in enumerate(line))
    return written.replace("fa:fa-", f"fa:{_NOTHING}fa-")


def _written(character: str, always: bool) -> str:  # noqa: FBT001 - said of each character
    if character.isalnum() or (character in _PLAIN and not always):
        return character
    return f"#{ord(character)};" + (_NOTHING if character in "\\$" else "")
