"""`on: {schedule: …}` of a rule file: its times, what it looks up, and what may stand beside it."""

from collections.abc import Mapping as MappingABC
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from mtrigger import quiet
from mtrigger.conditions import Condition
from mtrigger.conditions.server_values import NotTranslatable
from mtrigger.loading.expressions import condition_at, keys_in, with_bson_values
from mtrigger.loading.models import RuleFile
from mtrigger.loading.nodes import Mapping, Report, Scalar, find, place_of
from mtrigger.loading.on_models import Query

_OF_CHANGES = {
    "collection": "; what it looks up is `query: {collection: …}`",
    "operations": "",
    "fields": "",
    "dead_letters": "",
    "rules": "",
}
"""Keys of `on` that a schedule cannot stand beside, each with what to write instead."""

_OF_EVENTS = {
    "when": "write what the documents must be as `on.query.where`",
    "fire": "it fires at its times",
    "count": "it fires at its times",
    "digest": "what its `query` finds is sent together",
    "absent": "it fires at its times",
    "resolved": "it fires at its times, whatever it finds",
}
"""Keys of a rule that say something about single events, likewise."""

_WRITING = ("$out", "$merge")


def has_schedule(rule: Mapping) -> bool:
    """Whether the document of a rule asks for times."""
    node, _ = find(rule, ("on",))
    return isinstance(node, Mapping) and "schedule" in node.entries


def check_beside_schedule(model: RuleFile, rule: Mapping, report: Report) -> None:
    """Report what a rule with a schedule cannot have."""
    for key, instead in _OF_CHANGES.items():
        if (place := place_of(rule, ("on", key))) is not None:
            about = "deaths" if key in ("dead_letters", "rules") else "changes"
            report.add(
                place, f"`{key}` is about {about}, and `schedule` about times: keep one of them{instead}"
            )
    for key, instead in _OF_EVENTS.items():
        if (place := place_of(rule, (key,))) is not None:
            report.add(place, f"`{key}` is about single events, and a schedule has none; {instead}")
    for number in range(len(model.tests)):
        for key in ("before", "operation", "times", "apart"):
            if (place := place_of(rule, ("tests", number, key))) is not None:
                report.add(place, f"a schedule is no change and has no `{key}`; leave it out")


def compile_schedule(model: RuleFile, rule: Mapping, report: Report) -> quiet.Schedule | None:
    """The rule's schedule, if it has one; mistakes in its query go to `report`."""
    on = model.on
    if on.schedule is None:
        return None
    query = None
    if on.query is not None:
        node, _ = find(rule, ("on", "query"))
        query = _query(on.query, node, report) if isinstance(node, Mapping) else None
    return quiet.Schedule(on.schedule, ZoneInfo(on.timezone), on.catch_up, query)


def _query(model: Query, node: Mapping, report: Report) -> quiet.Query:
    if model.pipeline:
        for key in ("where", "sort"):
            if (place := place_of(node, (key,))) is not None:
                stage = {"where": "$match", "sort": "$sort"}[key]
                report.add(
                    place, f"`{key}` and `pipeline` cannot be combined: write it as a `{stage}` stage there"
                )
    return quiet.Query(
        collection=model.collection,
        where=_where(node, report),
        pipeline=_pipeline(model, node, report),
        sort=tuple(_sorted_by(text) for text in model.sort),
        limit=model.limit,
    )


def _where(node: Mapping, report: Report) -> Condition | None:
    """The condition of a query, which the server must be able to decide."""
    where = node.get("where")
    condition = condition_at(where, "where", report) if where is not None else None
    if where is None or condition is None:
        return None
    try:
        condition.filter(datetime.now(UTC))
    except NotTranslatable as error:
        about = where if isinstance(where, Scalar) else None
        message = f"`where` is asked of the server, which cannot decide this ({error}); use `pipeline`"
        report.add(where.place, message, about)
    return condition


def _pipeline(model: Query, node: Mapping, report: Report) -> tuple[MappingABC[str, Any], ...]:
    stages, _ = find(node, ("pipeline",))
    if not model.pipeline:
        return ()
    for key, place in keys_in(stages):
        if key in _WRITING:
            report.add(place, f"a query only reads: `{key}` is not possible here")
    return tuple(with_bson_values(list(model.pipeline), stages, report) or ())


def _sorted_by(text: str) -> tuple[str, int]:
    return (text[1:], -1) if text.startswith("-") else (text, 1)
