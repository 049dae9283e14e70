"""`on: {topic: …}` of a rule file: whose messages it reads, what may stand beside it, where its paths lead.

A path in such a rule is about a message; all of them are made paths into the message's document here, so that
whatever holds rules against events needs to know nothing of it.
"""

from collections.abc import Callable, Sequence
from collections.abc import Mapping as MappingABC
from dataclasses import replace
from typing import Any

from mtrigger import quiet
from mtrigger.conditions import Condition
from mtrigger.loading.models import RuleFile
from mtrigger.loading.nodes import Mapping, Report, find, place_of
from mtrigger.message_paths import in_message
from mtrigger.rules import Rule

_OF_OTHERS = {
    "collection": "changes",
    "operations": "changes",
    "fields": "changes",
    "dead_letters": "deaths",
    "rules": "deaths",
    "schedule": "times",
    "timezone": "times",
    "catch_up": "times",
    "query": "times",
}
"""Keys of `on` that a topic cannot stand beside, each with what it is about."""

_OF_TOPICS = ("group", "from")

_OF_STATES = {
    "absent": "a topic has no clock of its own that silence could be measured by",
    "resolved": "a message never changes, so nothing about it is ever over",
}
_OF_MESSAGES = ("key", "headers")
"""Keys of an example that only messages have."""


def has_topic(rule: Mapping) -> bool:
    """Whether the document of a rule asks for the messages of a topic."""
    node, _ = find(rule, ("on",))
    return isinstance(node, Mapping) and "topic" in node.entries


def check_beside_topic(model: RuleFile, rule: Mapping, condition: Condition | None, report: Report) -> None:
    """Report what a rule of a topic cannot have."""
    for key, about in _OF_OTHERS.items():
        if (place := place_of(rule, ("on", key))) is not None:
            report.add(place, f"`{key}` is about {about}, and `topic` about messages: keep one of them")
    for key, reason in _OF_STATES.items():
        if (place := place_of(rule, (key,))) is not None:
            report.add(place, f"`{key}` cannot be combined with `topic`: {reason}")
    if model.fire == "entering":
        message = (
            "a message has no state before it that a condition could begin to hold in: `always` or `once`"
        )
        report.add_within(rule, ("fire",), message)
    if condition is not None and any(reading.root in ("before", "changed") for reading in condition.reads):
        message = "a message is no change: `before`, changed() and became() say nothing about it"
        report.add_within(rule, ("when",), message)
    for number in range(len(model.tests)):
        for key in ("before", "operation"):
            if (place := place_of(rule, ("tests", number, key))) is not None:
                report.add(place, f"a message is no change and has no `{key}`; leave it out")


def check_without_topic(model: RuleFile, rule: Mapping, report: Report) -> None:
    """Report what only a rule of a topic can have."""
    for key in _OF_TOPICS:
        if (place := place_of(rule, ("on", key))) is not None:
            report.add(place, f"`{key}` says more about `topic`, which is not there")
    for number in range(len(model.tests)):
        for key in _OF_MESSAGES:
            if (place := place_of(rule, ("tests", number, key))) is not None:
                report.add(place, f"only messages have `{key}`, and there is no `on.topic`; leave it out")


def compile_topic(model: RuleFile, name: str) -> quiet.TopicSource | None:
    """Which messages the rule `name` consumes, if it does."""
    on = model.on
    if on.topic is None:
        return None
    return quiet.TopicSource(on.topic, on.group or name, on.from_)


def check_groups(rules: Sequence[Rule], nodes: MappingABC[str, Mapping], report: Report) -> None:
    """Report rules of one group that do not agree where it begins. `nodes` are their documents, by name."""
    begun: dict[tuple[str, str], Rule] = {}
    for rule in rules:
        if (source := rule.topic) is None:
            continue
        first = begun.setdefault((source.name, source.group), rule)
        if first.topic is not None and first.topic.start != source.start:
            message = (
                f"the group {source.group} has one position, and the rule `{first.name}` of it says "
                f"`from: {first.topic.start}`"
            )
            report.add_within(nodes[rule.name], ("on", "from"), message)


def lead_into_messages(values: dict[str, Any], rule: Mapping, report: Report) -> dict[str, Any]:
    """`values`, the quiet settings of a rule of a topic, with their paths leading into a message's document.
    Mistakes go to `report`."""
    rewritten = dict(values)
    for key in ("throttle", "count", "digest"):
        if (setting := values.get(key)) is not None:
            rewritten[key] = _rewritten(key, setting, rule, report)
    return rewritten


def _rewritten(key: str, setting: Any, rule: Mapping, report: Report) -> Any:
    def led(name: str) -> tuple[str, ...]:
        return tuple(
            _path(path, lambda message: report.add_within(rule, (key, name), message))
            for path in getattr(setting, name)
        )

    found = replace(setting, per=led("per"))
    return replace(found, sums=led("sums")) if isinstance(setting, quiet.Digest) else found


def _path(path: str, tell: Callable[[str], None]) -> str:
    try:
        return ".".join(in_message(tuple(path.split("."))))
    except ValueError as mistake:
        tell(str(mistake))
        return path
