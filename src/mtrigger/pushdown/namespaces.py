"""Collection patterns as conditions on the `ns` of a change event."""

from collections.abc import Iterable
from typing import Any

from mtrigger.rules import collection_regex, database_regex


def namespaces(patterns: Iterable[str], only: str | None) -> list[dict[str, Any]]:
    """The collections that `patterns` name, one condition for each database and each wildcard, in a stream
    over the database `only` (None: over the deployment).

    `ns.db` and `ns.coll` apart: the server answers that much faster than a comparison of the whole `ns`.
    Where there is but one database it is not asked for at all, which costs half as much again.
    """
    by_database: dict[str, set[str]] = {}
    wildcards: set[str] = set()
    for pattern in patterns:
        if "*" in pattern:
            wildcards.add(pattern)
        else:
            database, _, collection = pattern.partition(".")
            by_database.setdefault(database, set()).add(collection)
    found: list[dict[str, Any]] = [
        {"ns.db": database, "ns.coll": {"$in": sorted(names)}}
        for database, names in sorted(by_database.items())
    ]
    found += [_wildcard(pattern) for pattern in sorted(wildcards)]
    if only is None:
        return found
    return [{name: test for name, test in one.items() if name != "ns.db"} for one in found]


def only_database(patterns: Iterable[str]) -> str | None:
    """The database that all of `patterns` name, None when there are several, none, or a wildcard."""
    databases = {pattern.partition(".")[0] for pattern in patterns}
    if len(databases) != 1:
        return None
    (database,) = databases
    return None if "*" in database else database


def may_name(database: str, patterns: Iterable[str]) -> bool:
    """Whether a collection of `database` may be among those that `patterns` name."""
    return any("*" in pattern or pattern.partition(".")[0] == database for pattern in patterns)


def _wildcard(pattern: str) -> dict[str, Any]:
    database, _, collection = pattern.partition(".")
    condition: dict[str, Any] = {}
    if database != "*":
        condition["ns.db"] = _name(database, database_regex(database))
    condition["ns.coll"] = (
        {"$exists": True} if collection == "*" else _name(collection, collection_regex(collection))
    )
    return condition


def _name(part: str, regex: str) -> Any:
    return {"$regex": f"^(?:{regex})$", "$options": "s"} if "*" in part else part
