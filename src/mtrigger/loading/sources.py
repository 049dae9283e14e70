"""Where a rule's events come from: what `on:` says beyond single keys, and what may stand beside it.

A rule wants changes of collections, or dead letters, or times (`schedules`), or messages (`topics`); the keys
and conditions of the one mean nothing for the other, and are mistakes there.
"""

from collections.abc import Mapping as MappingABC

from mtrigger.conditions import Condition
from mtrigger.config_types import closest
from mtrigger.events import DEAD_LETTER, MESSAGE, SCHEDULE
from mtrigger.loading.models import RuleFile
from mtrigger.loading.nodes import Mapping, Report, Scalar, find, place_of
from mtrigger.loading.on_models import On
from mtrigger.loading.schedules import check_beside_schedule, has_schedule
from mtrigger.loading.topics import check_beside_topic, check_without_topic, has_topic
from mtrigger.rules import Rule

_OF_CHANGES = ("collection", "operations", "fields")
_OF_TIMES = ("timezone", "catch_up", "query")


def wants_no_changes(rule: Mapping) -> bool:
    """Whether the document of a rule asks for dead letters, for times or for messages."""
    if has_schedule(rule) or has_topic(rule):
        return True
    asked, _ = find(rule, ("on", "dead_letters"))
    return isinstance(asked, Scalar) and str(asked.value).lower() == "true"


def operations_of(on: On) -> frozenset[str]:
    """The operations a rule wants; `update` includes `replace`."""
    if on.topic is not None:
        return frozenset({MESSAGE})
    if on.schedule is not None:
        return frozenset({SCHEDULE})
    if on.dead_letters:
        return frozenset({DEAD_LETTER})
    return frozenset(on.operations) | ({"replace"} if "update" in on.operations else set())


def check_source(model: RuleFile, rule: Mapping, condition: Condition | None, report: Report) -> None:
    """Report what does not go together in one rule."""
    if model.on.topic is not None:
        check_beside_topic(model, rule, condition, report)
        return
    check_without_topic(model, rule, report)
    if model.on.schedule is not None:
        check_beside_schedule(model, rule, report)
        return
    for key in _OF_TIMES:
        if (found := place_of(rule, ("on", key))) is not None:
            report.add(found, f"`{key}` says more about `schedule`, which is not there")
    if model.on.dead_letters:
        _check_beside_dead_letters(model, rule, condition, report)
        return
    if model.on.collection is None:
        report.add_within(rule, ("on",), "`on.collection` is missing")
    if (found := place_of(rule, ("on", "rules"))) is not None:
        report.add(found, "`rules` says whose dead letters count: add `dead_letters: true`")


def _check_beside_dead_letters(
    model: RuleFile, rule: Mapping, condition: Condition | None, report: Report
) -> None:
    for key in _OF_CHANGES:
        if (found := place_of(rule, ("on", key))) is not None:
            report.add(
                found, f"`{key}` is about changes, and `dead_letters: true` about deaths: keep one of them"
            )
    for number in range(len(model.tests)):
        for key in ("before", "operation"):
            if (found := place_of(rule, ("tests", number, key))) is not None:
                report.add(found, f"a dead letter is no change and has no `{key}`; leave it out")
    if condition is not None and any(reading.root in ("before", "changed") for reading in condition.reads):
        message = "a dead letter is no change: `before`, changed() and became() say nothing about it"
        report.add_within(rule, ("when",), message)


def check_names(rule: Rule, node: Mapping, known: MappingABC[str, bool], report: Report) -> None:
    """Report names in `on.rules` that no rule has. `known` are all names of rules; true for those that want
    dead letters themselves, which nobody is told of."""
    for number, name in enumerate(rule.dead_letters_of or ()):
        found, _ = find(node, ("on", "rules", number))
        if name not in known:
            near = closest(name, known)
            hint = f"did you mean `{near}`?" if near else f"there are: {', '.join(sorted(known))}"
            report.add(found.place, f"there is no rule `{name}`; {hint}")
        elif known[name]:
            report.add(
                found.place,
                f"the dead letters of `{name}` are told to nobody: it is a rule of dead letters itself",
            )
