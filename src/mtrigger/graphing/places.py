"""Where data lies between the steps of a flow: tables, collections, topics; and which are among which."""

import re
from collections.abc import Iterable, Iterator

from mtrigger.graphing.flow import Edge, Node
from mtrigger.rules import Collections

_DATABASES = {
    "postgresql": "PostgreSQL",
    "mysql": "MySQL",
    "mariadb": "MariaDB",
    "sqlite": "SQLite",
    "oracle": "Oracle",
    "mssql": "SQL Server",
}


def collection(namespace: str) -> Node:
    """A collection, or with `*` all that its pattern means."""
    return Node(
        f"collection:{namespace}",
        "collection",
        "collections" if "*" in namespace else "collection",
        namespace,
    )


def topic(name: str) -> Node:
    """A topic, or with `*` all that its pattern means."""
    return Node(f"topic:{name}", "topic", "topics" if "*" in name else "topic", name)


def table(name: str, url: str, number: int) -> Node:
    """A table of the relational database at `url`, of which only the kind is told. `number` says which of the
    databases it is: two of them may have tables of one name."""
    scheme = url.partition("://")[0].partition("+")[0].lower()
    kind = _DATABASES.get(scheme, "SQL")
    return Node(f"table:{number}:{name}", "table", f"{kind} table{'s' if '*' in name else ''}", name)


def parts(nodes: Iterable[Node]) -> Iterator[Edge]:
    """Edges from each collection and topic to the patterns that mean it, too."""
    found = [node for node in nodes if node.kind in ("collection", "topic")]
    for pattern in (node for node in found if "*" in node.title):
        for node in found:
            if node.kind == pattern.kind and "*" not in node.title and _means(pattern, node.title):
                yield Edge(node.id, pattern.id, kind="part")


def _means(pattern: Node, name: str) -> bool:
    if pattern.kind == "collection":
        return Collections((pattern.title,)).include(name)
    return re.fullmatch(".*".join(map(re.escape, pattern.title.split("*"))), name, re.DOTALL) is not None
