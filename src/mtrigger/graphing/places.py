"""Where data lies between the steps of a flow: tables, collections, topics; and which are among which."""

import re
from collections.abc import Iterator

from mtrigger.graphing.flow import Edge, Flow, Node
from mtrigger.rules import Collections

_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{table\}", re.DOTALL)
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
    """A topic, or with `*` all that its pattern means; where its name is a template, this makes a pattern."""
    name = _TEMPLATE.sub("*", name)
    return Node(f"topic:{name}", "topic", "topics" if "*" in name else "topic", name)


def table(name: str, url: str, number: int) -> Node:
    """A table of the relational database at `url`, of which only the kind is told. `number` says which of the
    databases it is: two of them may have tables of one name."""
    return Node(
        f"table:{number}:{name}", "table", f"{_database(url)} table{'s' if '*' in name else ''}", name
    )


def query(source: str, url: str) -> Node:
    """What the SELECT of `source` finds. It is not shown: it may hold what was filled in."""
    return Node(f"query:{source}", "table", _database(url), "a query")


def _database(url: str) -> str:
    scheme = url.partition("://")[0].partition("+")[0].lower()
    return _DATABASES.get(scheme, "SQL")


def parts(flow: Flow) -> Iterator[Edge]:
    """Edges between each collection or topic and the patterns that mean it, too: to a pattern that is read,
    from one that is written, and both for one that is both."""
    written = {edge.end for edge in flow.edges}
    read = {edge.start for edge in flow.edges}
    found = [node for node in flow.nodes if node.kind in ("collection", "topic")]
    for pattern in (node for node in found if "*" in node.title):
        for node in found:
            if node.kind != pattern.kind or "*" in node.title or not _means(pattern, node.title):
                continue
            if pattern.id in written:
                yield Edge(pattern.id, node.id, kind="part")
            if pattern.id in read:
                yield Edge(node.id, pattern.id, kind="part")


def _means(pattern: Node, name: str) -> bool:
    if pattern.kind == "collection":
        return Collections((pattern.title,)).include(name)
    return re.fullmatch(".*".join(map(re.escape, pattern.title.split("*"))), name, re.DOTALL) is not None
