"""Event -> the rules that hold.

Rules are looked up by namespace and operation first (remembered per pair, since a deployment has few of
them), then by the paths an update touched, and only what is left is evaluated. Pure but for that memory.
"""

from collections.abc import Iterable
from datetime import datetime

from mtrigger.events import DEAD_LETTER, ChangeEvent
from mtrigger.rules import Rule

_REMEMBERED_PAIRS = 10_000


class Matcher:
    """Holds a set of rules against events."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rule for rule in rules if rule.enabled)
        self._by_source: dict[tuple[str, str], tuple[Rule, ...]] = {}

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The enabled ones of the rules it was made of."""
        return self._rules

    def candidates(self, event: ChangeEvent) -> tuple[Rule, ...]:
        """The rules that could hold for `event`, whatever its document turns out to be."""
        source = (event.namespace, event.operation)
        found = self._by_source.get(source)
        if found is None:
            found = self._of_source(*source)
            if len(self._by_source) < _REMEMBERED_PAIRS:
                self._by_source[source] = found
        if event.operation == DEAD_LETTER:
            return tuple(rule for rule in found if wants_dead_letter(rule, event))
        if not any(rule.fields for rule in found):
            return found
        if event.flaw:
            return found  # what cannot be read may be just what a rule asks for
        return tuple(rule for rule in found if not rule.fields or touches(event, rule.fields))

    def _of_source(self, namespace: str, operation: str) -> tuple[Rule, ...]:
        return tuple(
            rule
            for rule in self._rules
            if rule.wants(operation) and (operation == DEAD_LETTER or rule.collections.include(namespace))
        )

    def matches(self, event: ChangeEvent, now: datetime) -> list[Rule]:
        """The rules that hold for `event`, in the order they were given. For an event with a flaw, those that
        could: nobody can tell whether they hold."""
        if event.flaw:
            return list(self.candidates(event))
        return [
            rule
            for rule in self.candidates(event)
            if rule.condition is None or rule.condition.holds(event, now)
        ]


def wants_dead_letter(rule: Rule, event: ChangeEvent) -> bool:
    """Whether `rule` wants to be told of the dead delivery in `event`."""
    if rule.dead_letters_of is None or event.document is None:
        return False
    return not rule.dead_letters_of or event.document.get("rule") in rule.dead_letters_of


def touches(event: ChangeEvent, fields: Iterable[str]) -> bool:
    """Whether an update set, removed or truncated one of `fields`, something below or something above it.

    A replace with a pre-image is compared value by value; without one, and for inserts and deletes, which
    concern every field, as for a document found by a rescan, the answer is yes. So it is when what an update
    set was too large to come along.
    """
    if "updated" in event.left_out:
        return True
    if event.operation == "update":
        return any(_overlap(path, field) for path in event.touched for field in fields)
    if event.operation == "replace" and event.before is not None and event.document is not None:
        roots = {field.partition(".")[0] for field in fields}
        return any(root in event.changed for root in roots)
    return True


def _overlap(path: str, field: str) -> bool:
    """Whether one dotted path is the other or leads to it. Array positions in `path` (`items.3.qty`) are
    passed over where `field` does not name them (`items.qty`)."""
    return _leads(path, field) or _leads(without_positions(path), field)


def _leads(path: str, field: str) -> bool:
    return path == field or path.startswith(f"{field}.") or field.startswith(f"{path}.")


def without_positions(path: str) -> str:
    """`items.3.qty` -> `items.qty`."""
    return ".".join(part for part in path.split(".") if not part.isdigit())
