"""What flows where, as values: nodes, and edges between them.

Promise: every edge begins and ends at a node of the flow, no node is there twice, and nothing of a flow is a
secret.
"""

from dataclasses import dataclass, field
from typing import Literal

NodeKind = Literal[
    "table",
    "source",
    "topic",
    "collection",
    "schedule",
    "dead letters",
    "rule",
    "email",
    "webhook",
    "chat",
    "broker",
    "function",
    "command",
    "log",
    "action",
]

EdgeKind = Literal["data", "part", "dead"]
"""What goes along an edge: documents and messages; nothing, one collection is among those of a pattern;
deliveries that have died."""


@dataclass(frozen=True, slots=True)
class Node:
    """One box. `caption` says what it is, `code` is what a rule or source asks for, `marks` are what else is
    worth seeing, a word or two each. `text` is all there is to say about it, for those who point at it.
    `enabled` is false for what does nothing."""

    id: str
    kind: NodeKind
    caption: str
    title: str
    code: str = ""
    marks: tuple[str, ...] = ()
    text: str = ""
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Edge:
    """From one node to another; `label` may be empty."""

    start: str
    end: str
    label: str = ""
    kind: EdgeKind = "data"


@dataclass(frozen=True, slots=True)
class Flow:
    """Nodes and edges, in the order in which they were found."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


@dataclass(slots=True)
class Gathering:
    """A flow that is being found out. What is added twice is there once: the first one of a node stays."""

    _nodes: dict[str, Node] = field(default_factory=dict)
    _edges: dict[tuple[str, str, str], Edge] = field(default_factory=dict)

    def node(self, node: Node) -> str:
        """Add `node`; returns its id."""
        self._nodes.setdefault(node.id, node)
        return node.id

    def edge(self, edge: Edge) -> None:
        """Add `edge`, between nodes that are there."""
        self._edges.setdefault((edge.start, edge.end, edge.label), edge)

    def flow(self) -> Flow:
        """What is there so far."""
        return Flow(tuple(self._nodes.values()), tuple(self._edges.values()))
