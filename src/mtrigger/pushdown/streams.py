"""The stream: its scope, its `$match` and its pipeline.

One stream for every rule: over a database when all rules name that one, else over the deployment (a stream
over a collection would die with it).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import json_util

from mtrigger.pushdown import pre_images
from mtrigger.pushdown.clauses import Clause, clauses, merged
from mtrigger.pushdown.namespaces import may_name, only_database
from mtrigger.reading.large_events import SHORTENING, SMALL_KEYS, SPLIT, LargeEvents, Manner
from mtrigger.rules import Rule

_ALONE = "without pre-images"
"""Part of the hash: an event in fragments is cut elsewhere then, and when rules begin to need pre-images the
stream must be opened again."""


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What to ask the server for.

    `database` is None for a stream over the deployment. `hash` names everything about the plan that a resume
    token depends on. `cover` is `match` without the rules' conditions. `pre_images`: whether changes come
    with the document before them, where that is kept.
    """

    database: str | None
    match: dict[str, Any]
    hash: str
    cover: dict[str, Any] = field(default_factory=dict)
    large_events: LargeEvents = "whole"
    pre_images: bool = True


def plan(rules: Sequence[Rule], state_database: str, large_events: LargeEvents = "whole") -> StreamPlan:
    """The stream for `rules` (the enabled ones of them). Events of the state database never get through."""
    patterns = {pattern for rule in rules if rule.enabled for pattern in rule.collections.patterns}
    database = only_database(patterns)

    def match(found: Sequence[Clause]) -> dict[str, Any]:
        parts = [part for clause in merged(found) for part in clause.filters(database)]
        wanted: dict[str, Any] = {"$or": parts} if parts else {"operationType": "invalidate"}
        if may_name(state_database, patterns):
            wanted = {"$and": [{"ns.db": {"$ne": state_database}}, wanted]}
        return wanted if database is None else {"$or": [wanted, {"operationType": "invalidate"}]}

    found = clauses(rules)
    wanted, cover = match(found), match([clause.unconditioned() for clause in found])
    asks = pre_images.asked_for(rules)
    named = [database, wanted, *([SPLIT] if large_events == "split" else []), *([] if asks else [_ALONE])]
    text = json_util.dumps(named, json_options=json_util.CANONICAL_JSON_OPTIONS)
    hash_ = hashlib.sha256(text.encode()).hexdigest()[:16]
    return StreamPlan(database, wanted, hash_, cover, large_events, asks)


def pipeline(
    plan: StreamPlan, start: Mapping[str, Any], manner: Manner = Manner.PLAIN
) -> list[dict[str, Any]]:
    """The stages of the stream; `start` is the option of `$changeStream` that says where it opens."""
    options: dict[str, Any] = {"fullDocument": "whenAvailable", **start}
    if plan.pre_images:
        options["fullDocumentBeforeChange"] = "whenAvailable"
    if plan.database is None:
        options["allChangesForCluster"] = True
    stages = [{"$changeStream": options}]
    stages.append({"$match": plan.match if manner < Manner.UNCONDITIONED else plan.cover})
    if manner >= Manner.SMALL_KEYS:
        stages.append(SMALL_KEYS)
    if manner >= Manner.SHORTENED:
        return stages + SHORTENING
    return [*stages, SPLIT] if plan.large_events == "split" else stages
