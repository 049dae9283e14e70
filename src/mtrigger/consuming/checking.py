"""What groups of rules ask of the topics they are to consume, held against the state before they begin.

Promise: a rule that could not begin to read is spoken of at the start and at a reload, and replaces nothing.
"""

from collections.abc import Iterable

from pymongo.errors import PyMongoError

from mtrigger.deployment.databases import State
from mtrigger.deployment.preflight import Finding
from mtrigger.errors import PositionError
from mtrigger.rules import Rule
from mtrigger.topics.message_events import Group
from mtrigger.topics.mongo_groups import MongoGroups
from mtrigger.topics.starts import parse_start


async def topic_findings(rules: Iterable[Rule], state: State) -> list[Finding]:
    """Everything worth saying about the enabled ones of `rules` that consume topics; nothing while the state
    does not answer: rules may be reloaded during an outage."""
    groups = {
        Group(rule.topic.name, rule.topic.group): rule
        for rule in rules
        if rule.enabled and rule.topic is not None
    }
    try:
        return [
            Finding(rule.name, message, grave=True)
            for group, rule in groups.items()
            if (message := await _mistake(group, rule, state))
        ]
    except PyMongoError:
        return []


async def _mistake(group: Group, rule: Rule, state: State) -> str:
    """Why `group` cannot begin for `rule`, "" when it can."""
    members = MongoGroups(state.client[state.database])
    if await members.has(group):
        return (
            f"the group {group.name} of the topic {group.topic} has members in Python: give this one another "
            "name with `on.group`"
        )
    start = parse_start(rule.topic.start) if rule.topic is not None else "beginning"
    if start in ("beginning", "now") or await state.store.checkpoint(group.stream) is not None:
        return ""
    try:
        await state.topics.log(group.topic).position(start)
    except PositionError as error:
        return f"its group is new and cannot begin at `from`: {error}"
    return ""
