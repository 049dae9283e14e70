"""The `tests:` of a rule file to `RuleTest`s: documents with their BSON types, times with their zones."""

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from mtrigger.events import DEAD_LETTER
from mtrigger.loading.models import RuleFile, Test
from mtrigger.loading.nodes import Mapping, Node, Report, Sequence, find
from mtrigger.rules import RuleTest


def compile_tests(model: RuleFile, rule: Mapping, report: Report) -> tuple[RuleTest, ...]:
    """Every entry of `tests:`; mistakes go to `report`."""
    zone: tzinfo = ZoneInfo(model.active.timezone) if model.active is not None else UTC
    tests = []
    for number, test in enumerate(model.tests):
        node, _ = find(rule, ("tests", number))
        given, before = (
            _documents(getattr(test, key), find(node, (key,))[0], report) for key in ("given", "before")
        )
        tests.append(_compiled(test, given, before, model, node, zone))
    return tuple(tests)


def _compiled(test: Test, given: Any, before: Any, model: RuleFile, node: Node, zone: tzinfo) -> RuleTest:
    return RuleTest(
        given=tuple(given) if isinstance(given, list) else (given or {},),
        before=before,
        operation=DEAD_LETTER if model.on.dead_letters else test.operation,
        expect=test.expect,
        line=node.place.line,
        times=test.times,
        apart=test.apart,
        after=test.after,
        at=_moment(test.at, zone) if test.at is not None else None,
        renders=test.renders,
    )


def _moment(text: str, zone: tzinfo) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def _documents(value: Any, node: Node, report: Report) -> Any:
    """Documents with Extended JSON (`{$numberDecimal: "1.5"}`) turned into BSON values."""
    if not any(key.startswith("$") for key in _keys(node)):
        return value
    import json

    from bson import json_util
    from bson.errors import BSONError

    try:
        return json_util.loads(json.dumps(value))
    except (ValueError, TypeError, ArithmeticError, BSONError) as error:
        report.add(node.place, f"this is not Extended JSON: {error}")
        return None


def _keys(node: Node) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, entry in node.entries.items():
            yield key
            yield from _keys(entry.node)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _keys(item)
