"""Which tables the names and patterns of a source mean. Pure.

A name is `table` or `schema.table`; `*` stands for any characters in either part. Capital letters matter only
where two tables differ by nothing else.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """`schema` is "" in the schema where the connection begins."""

    schema: str
    table: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}" if self.schema else self.table


def parsed(text: str) -> TableName:
    """A name or a pattern by its parts. Only the first dot parts them."""
    schema, dot, table = text.partition(".")
    return TableName(schema, table) if dot else TableName("", schema)


def is_pattern(text: str) -> bool:
    """Whether what it means can change while it stays the same."""
    return "*" in text


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that one part of a pattern means: without a star the one of this very name, or else
    the one that differs in capital letters only."""
    found = list(names)
    if "*" not in pattern and pattern in found:
        return [pattern]
    expression = re.compile(
        ".*".join(re.escape(part) for part in pattern.split("*")), re.IGNORECASE | re.DOTALL
    )
    return sorted(name for name in found if expression.fullmatch(name))


def column_among(wanted: str, columns: Sequence[str]) -> str | None:
    """The column that is meant; None when there is none, or more than one differs in capital letters only."""
    found = matching(wanted.replace("*", ""), columns)
    return found[0] if len(found) == 1 else None
