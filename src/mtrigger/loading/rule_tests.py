"""The `tests:` of a rule file to `RuleTest`s: documents with their BSON types, times with their zones."""

from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from mtrigger.events import DEAD_LETTER, MESSAGE, SCHEDULE
from mtrigger.loading.expressions import with_bson_values
from mtrigger.loading.models import RuleFile, Test
from mtrigger.loading.nodes import Mapping, Node, Report, find
from mtrigger.rules import ExampleOperation, RuleTest

MOST_CHANGES = 100_000
"""Changes of one example: each of them is judged."""


def compile_tests(model: RuleFile, rule: Mapping, report: Report) -> tuple[RuleTest, ...]:
    """Every entry of `tests:`; mistakes go to `report`."""
    zone: tzinfo = ZoneInfo(model.active.timezone) if model.active is not None else UTC
    tests = []
    for number, test in enumerate(model.tests):
        node, _ = find(rule, ("tests", number))
        _check(test, model, node, report)
        values = {
            key: with_bson_values(getattr(test, key), find(node, (key,))[0], report)
            for key in ("given", "before", "key", "headers")
        }
        tests.append(_compiled(test, values, model, node, zone))
    return tuple(tests)


def _check(test: Test, model: RuleFile, node: Node, report: Report) -> None:
    """Report an example of what cannot happen."""
    operation = _operation(test, model)
    if test.before is not None and operation == "insert":
        report.add(
            find(node, ("before",))[1],
            "an insert has no document before it: leave `before` out, or say `operation: update`",
        )
    if operation == SCHEDULE:
        return  # what its query finds may be nothing
    if test.given == []:
        report.add_within(node, ("given",), "nothing happens here: write one document at least")
    if test.times * (len(test.given) if isinstance(test.given, list) else 1) > MOST_CHANGES:
        report.add_within(node, ("times",), f"an example is {MOST_CHANGES:,} changes long at most")


def _compiled(test: Test, values: dict[str, Any], model: RuleFile, node: Node, zone: tzinfo) -> RuleTest:
    given = values["given"]
    return RuleTest(
        given=tuple(given) if isinstance(given, list) else (given or {},),
        before=values["before"],
        key=values["key"],
        headers=values["headers"] or {},
        operation=_operation(test, model),
        expect=test.expect,
        line=node.place.line,
        times=test.times,
        apart=test.apart,
        after=test.after,
        at=_moment(test.at, zone) if test.at is not None else None,
        renders=test.renders,
    )


def _operation(test: Test, model: RuleFile) -> ExampleOperation:
    if model.on.topic is not None:
        return MESSAGE
    if model.on.schedule is not None:
        return SCHEDULE
    return DEAD_LETTER if model.on.dead_letters else test.operation


def _moment(text: str, zone: tzinfo) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
