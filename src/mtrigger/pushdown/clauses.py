"""Rules -> the branches of the stream's `$match`: operations, collections, and what their rules share. Pure.

Rules with the same collections share a branch for each kind of event, because every branch with collections
of its own costs the server as much as ten tests (`costs.BRANCH`). Where there would be too many, rules with
different collections share one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mtrigger.pushdown import costs, updates
from mtrigger.pushdown.covers import (
    DELETED,
    NEVER,
    STORED,
    UPDATED,
    Filter,
    Images,
    Share,
    all_of,
    any_of,
    covers,
)
from mtrigger.pushdown.namespaces import namespaces
from mtrigger.rules import Rule, with_endings

KINDS: tuple[tuple[frozenset[str], Images], ...] = (
    (frozenset({"insert", "replace"}), STORED),
    (frozenset({"update"}), UPDATED),
    (frozenset({"delete"}), DELETED),
)
"""Operations whose events carry their documents in the same way."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One branch: these operations in these collections, if `filter` holds. `rules` are those it is for,
    `shares` what of their conditions `filter` is made of."""

    operations: frozenset[str]
    patterns: frozenset[str]
    filter: Filter
    rules: tuple[Rule, ...] = ()
    shares: tuple[Share, ...] = ()

    def unconditioned(self) -> "Clause":
        """The same for any event of the operations and collections."""
        return replace(self, filter={}, shares=())

    def filters(self, only: str | None) -> Iterator[dict[str, Any]]:
        """The clause over change events, as branches of an `$or`, in a stream over the database `only`."""
        operation: dict[str, Any] = {"operationType": {"$in": sorted(self.operations)}}
        outside = [{**operation, **namespace} for namespace in namespaces(self.patterns, only)]
        if not self.filter:
            yield from outside
        elif self.filter != NEVER and outside:
            yield {"$and": [any_of(outside), self.filter]}


def clauses(rules: Iterable[Rule]) -> list[Clause]:
    """The clauses for `rules`, of which at least one holds for every event that a rule may hold for."""
    by_collections: dict[tuple[frozenset[str], frozenset[str], bool], list[Rule]] = {}
    for rule in with_endings(rules):
        for kind, images in KINDS:
            operations = rule.operations & kind
            if rule.enabled and operations and rule.collections.patterns:
                by_fields = images.own_fields and bool(rule.fields)
                scope = (operations, frozenset(rule.collections.patterns), by_fields)
                by_collections.setdefault(scope, []).append(rule)
    found = [
        _clause(operations, patterns, group) for (operations, patterns, _), group in by_collections.items()
    ]
    if len(merged(found)) <= costs.MOST_BRANCHES:
        return found
    shared: dict[tuple[frozenset[str], bool], tuple[set[str], list[Rule]]] = {}
    for (operations, patterns, by_fields), group in by_collections.items():
        all_patterns, all_rules = shared.setdefault((operations, by_fields), (set(), []))
        all_patterns |= patterns
        all_rules += group
    return [
        _clause(operations, frozenset(patterns), group)
        for (operations, _), (patterns, group) in shared.items()
    ]


def merged(found: Iterable[Clause]) -> list[Clause]:
    """The same in fewer clauses: those that ask the same of other operations or other collections are one."""
    by_collections: _Merged = {}
    for clause in found:
        _join(by_collections, (clause.patterns, repr(clause.filter)), clause)
    by_operations: _Merged = {}
    for clause in by_collections.values():
        _join(by_operations, (clause.operations, repr(clause.filter)), clause)
    return sorted(
        by_operations.values(), key=lambda clause: (sorted(clause.operations), sorted(clause.patterns))
    )


_Merged = dict[tuple[frozenset[str], str], Clause]


def _join(found: _Merged, key: tuple[frozenset[str], str], clause: Clause) -> None:
    other = found.get(key, clause)
    found[key] = replace(
        clause, operations=clause.operations | other.operations, patterns=clause.patterns | other.patterns
    )


def _clause(operations: frozenset[str], patterns: frozenset[str], group: Sequence[Rule]) -> Clause:
    images = next(images for kind, images in KINDS if operations <= kind)
    conditions = [rule.condition for rule in group if rule.condition is not None]
    shares: list[Share] = covers(conditions, images) if len(conditions) == len(group) else []
    wanted = any_of(share.filter for share in shares) if shares else {}
    if images.own_fields and all(rule.fields for rule in group):
        touching = updates.touch(field for rule in group for field in rule.fields)
        wanted = all_of([wanted, touching]) if wanted != NEVER else NEVER
    return Clause(operations, patterns, wanted, tuple(group), tuple(shares))
