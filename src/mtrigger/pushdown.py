"""Rules -> the stream that serves them all. Pure.

One stream for every rule: over a database when all rules name that one, else over the deployment (a stream
over a collection would die with it). The `$match` is never narrower than the rules, and speaks only of what
cannot change after the event: its operation, its namespace, and the document an insert or replace carries.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import json_util

from mtrigger.reading.large_events import SHORTENING, SMALL_KEYS, SPLIT, LargeEvents, Manner
from mtrigger.rules import Rule, collection_regex, database_regex

MOST_CLAUSES = 16
"""Above this many clauses the server would spend more on trying them one by one than the wire costs."""

_WHOLE_DOCUMENT = ("insert", "replace")


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What to ask the server for.

    `database` is None for a stream over the deployment. `hash` names everything about the plan that a resume
    token depends on. `cover` is `match` without the rules' conditions.
    """

    database: str | None
    match: dict[str, Any]
    hash: str
    cover: dict[str, Any] = field(default_factory=dict)
    large_events: LargeEvents = "whole"


@dataclass(frozen=True, slots=True)
class PushedRule:
    """What of one rule's condition goes to the server (`pushed`, a filter over change events) and which parts
    stay here (`kept`, in the words of the rule); `reason` says why, where something does."""

    rule: Rule
    pushed: dict[str, Any]
    kept: tuple[str, ...]
    reason: str


def plan(rules: Sequence[Rule], state_database: str, large_events: LargeEvents = "whole") -> StreamPlan:
    """The stream for `rules` (the enabled ones of them). Events of the state database never get through."""
    enabled = [rule for rule in rules if rule.enabled]
    database = _only_database(enabled)

    def match(clauses: list[dict[str, Any]]) -> dict[str, Any]:
        wanted: dict[str, Any] = {"$or": clauses} if clauses else {"operationType": "invalidate"}
        if any(_may_name(state_database, rule) for rule in enabled):
            wanted = {"$and": [{"ns.db": {"$ne": state_database}}, wanted]}
        return wanted if database is None else {"$or": [wanted, {"operationType": "invalidate"}]}

    cover = match(_cover(enabled))
    wanted = match(_all_clauses(enabled)) if pushes_conditions(rules) else cover
    named = [database, wanted, *([SPLIT] if large_events == "split" else [])]
    text = json_util.dumps(named, json_options=json_util.CANONICAL_JSON_OPTIONS)
    hash_ = hashlib.sha256(text.encode()).hexdigest()[:16]
    return StreamPlan(database, wanted, hash_, cover, large_events)


def pipeline(
    plan: StreamPlan, start: Mapping[str, Any], manner: Manner = Manner.PLAIN
) -> list[dict[str, Any]]:
    """The stages of the stream; `start` is the option of `$changeStream` that says where it opens."""
    options: dict[str, Any] = {
        "fullDocument": "whenAvailable",
        "fullDocumentBeforeChange": "whenAvailable",
        **start,
    }
    if plan.database is None:
        options["allChangesForCluster"] = True
    stages = [{"$changeStream": options}]
    stages.append({"$match": plan.match if manner < Manner.UNCONDITIONED else plan.cover})
    if manner >= Manner.SMALL_KEYS:
        stages.append(SMALL_KEYS)
    if manner >= Manner.SHORTENED:
        return stages + SHORTENING
    return [*stages, SPLIT] if plan.large_events == "split" else stages


def pushes_conditions(rules: Iterable[Rule]) -> bool:
    """Whether the conditions of `rules` go to the server; with too many clauses only operations and
    collections do."""
    return len(_all_clauses(rule for rule in rules if rule.enabled)) <= MOST_CLAUSES


def explain(rules: Iterable[Rule]) -> list[PushedRule]:
    """What of each rule goes to the server when it is pushed whole."""
    return [_pushed(rule) for rule in rules if rule.enabled]


def _pushed(rule: Rule) -> PushedRule:
    if rule.condition is None:
        return PushedRule(rule, {}, (), "")
    if rule.dead_letters_of is not None:
        return PushedRule(rule, {}, (rule.condition.text,), "dead letters come from the outbox")
    pushed = rule.condition.pushdown("fullDocument")
    others = sorted(rule.operations.difference(_WHOLE_DOCUMENT))
    if others:
        return PushedRule(
            rule,
            pushed.filter,
            (rule.condition.text,),
            f"for {' and '.join(others)}: the event does not carry the document",
        )
    return PushedRule(
        rule, pushed.filter, pushed.kept, "" if pushed.exact else "cannot be said to the server"
    )


def _may_name(database: str, rule: Rule) -> bool:
    """Whether a collection of `database` may be among the rule's."""
    exact = (name.partition(".")[0] for name in rule.collections.exact)
    return bool(rule.collections.wildcards) or database in exact


def _only_database(rules: Sequence[Rule]) -> str | None:
    databases = {pattern.partition(".")[0] for rule in rules for pattern in rule.collections.patterns}
    if len(databases) != 1:
        return None
    (database,) = databases
    return None if "*" in database else database


def _all_clauses(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    return [clause for rule in rules for clause in _clauses(rule)]


def _clauses(rule: Rule) -> list[dict[str, Any]]:
    """Clauses of which at least one holds for every event the rule may hold for."""
    whole = sorted(rule.operations.intersection(_WHOLE_DOCUMENT))
    others = sorted(rule.operations.difference(_WHOLE_DOCUMENT))
    pushed = rule.condition.pushdown("fullDocument").filter if rule.condition else {}
    if not pushed:
        whole, others = [], sorted(rule.operations)
    clauses: list[dict[str, Any]] = []
    for namespace in _namespaces([rule]):
        if whole:
            clauses.append({"$and": [{"operationType": {"$in": whole}, **namespace}, pushed]})
        if others:
            clauses.append({"operationType": {"$in": others}, **namespace})
    return clauses


def _cover(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """Operations and namespaces alone, rules with the same operations together."""
    by_operations: dict[tuple[str, ...], list[Rule]] = {}
    for rule in rules:
        by_operations.setdefault(tuple(sorted(rule.operations)), []).append(rule)
    return [
        {"operationType": {"$in": list(operations)}, **namespace}
        for operations, group in sorted(by_operations.items())
        for namespace in _namespaces(group)
    ]


def _namespaces(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """The collections of `rules` as conditions on `ns`, one for each database and each wildcard.

    `ns.db` and `ns.coll` apart: the server answers that much faster than a comparison of the whole `ns`.
    """
    by_database: dict[str, set[str]] = {}
    wildcards: set[str] = set()
    for rule in rules:
        wildcards.update(rule.collections.wildcards)
        for name in rule.collections.exact:
            database, _, collection = name.partition(".")
            by_database.setdefault(database, set()).add(collection)
    exact: list[dict[str, Any]] = [
        {"ns.db": database, "ns.coll": {"$in": sorted(names)}}
        for database, names in sorted(by_database.items())
    ]
    return exact + [_wildcard(pattern) for pattern in sorted(wildcards)]


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
