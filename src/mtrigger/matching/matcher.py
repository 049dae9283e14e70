"""Event -> the rules that hold.

Rules are looked up by namespace and operation first (remembered, since a deployment has few of them), then by
what their conditions imply and by the paths an update touched; only what is left is evaluated. The promise:
the answer is that of trying every rule, in the order they were given. Pure but for that memory.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property

from mtrigger.conditions import Holds
from mtrigger.events import DEAD_LETTER, MESSAGE, ChangeEvent
from mtrigger.matching.predicate_index import FEW, PredicateIndex
from mtrigger.matching.touched_fields import FieldIndex, touches
from mtrigger.messages import collection_of
from mtrigger.rules import Rule

_REMEMBERED = 10_000
_REMEMBERED_SUBSETS = 100


class Matcher:
    """Holds a set of rules against events."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rule for rule in rules if rule.enabled)
        self._by_source: dict[tuple[str, str, str], _Group] = {}
        self._groups: dict[tuple[int, ...], _Group] = {}
        self._named: dict[str, list[int]] = defaultdict(list)
        self._others: list[int] = []
        for number, rule in enumerate(self._rules):
            if rule.collections.wildcards or rule.dead_letters_of is not None or rule.topic is not None:
                self._others.append(number)
            else:
                for namespace in rule.collections.exact:
                    self._named[namespace].append(number)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The enabled ones of the rules it was made of."""
        return self._rules

    @cached_property
    def written(self) -> frozenset[str]:
        """The collections that the rules themselves write to."""
        actions = (action for rule in self._rules for action in (*rule.actions, *rule.resolved))
        return frozenset().union(*(action.writes for action in actions))

    def watches(self, namespace: str) -> bool:
        """Whether any rule wants changes in `namespace`."""
        return any(rule.collections.include(namespace) for rule in self._rules)

    def candidates(self, event: ChangeEvent) -> tuple[Rule, ...]:
        """The rules that could hold for `event`, whatever its document turns out to be."""
        group = self._group(event)
        if event.operation == DEAD_LETTER:
            return tuple(rule for rule in group.rules if wants_dead_letter(rule, event))
        # What cannot be read may be just what a rule asks for.
        return group.rules if event.flaw else group.touched(event)

    def matches(self, event: ChangeEvent, now: datetime) -> list[Rule]:
        """The rules that hold for `event`, in the order they were given. For an event with a flaw, those that
        could: nobody can tell whether they hold."""
        if event.flaw:
            return list(self.candidates(event))
        if event.operation == DEAD_LETTER:
            return [rule for rule in self.candidates(event) if _test(rule)(event, now)]
        return self._group(event).holding(event, now)

    def _group(self, event: ChangeEvent) -> "_Group":
        source = (event.database, event.collection, event.operation)
        found = self._by_source.get(source)
        if found is None:
            found = self._group_of(event.namespace, event.operation)
            if len(self._by_source) < _REMEMBERED:
                self._by_source[source] = found
        return found

    def _group_of(self, namespace: str, operation: str) -> "_Group":
        """Sources with the same rules share a group, and so its index."""
        numbers = [*self._named.get(namespace, ()), *self._others]
        wanted = tuple(number for number in sorted(numbers) if self._wants(number, namespace, operation))
        found = self._groups.get(wanted)
        if found is None:
            found = _Group(tuple(self._rules[number] for number in wanted))
            if len(self._groups) < _REMEMBERED:
                self._groups[wanted] = found
        return found

    def _wants(self, number: int, namespace: str, operation: str) -> bool:
        rule = self._rules[number]
        if operation == MESSAGE:
            return rule.topic is not None and namespace.partition(".")[2] == collection_of(rule.topic.name)
        return rule.wants(operation) and (operation == DEAD_LETTER or rule.collections.include(namespace))


class _Group:
    """The rules that want one operation in one namespace. `few` is all there is to ask when they are not
    many: each rule, its fields and the test of its condition."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        is_small = len(rules) <= FEW
        self.few = [(rule, rule.fields, _test(rule)) for rule in rules] if is_small else None
        self._subsets: dict[tuple[int, ...], tuple[Rule, ...]] = {}

    @cached_property
    def _index(self) -> PredicateIndex:
        return PredicateIndex([rule.condition for rule in self.rules])

    @cached_property
    def _fields(self) -> FieldIndex:
        return FieldIndex([rule.fields for rule in self.rules])

    def touched(self, event: ChangeEvent) -> tuple[Rule, ...]:
        """The rules whose fields the event touches. The same rules are the same object, while few enough
        subsets of them have been asked for to remember each."""
        touched = self._fields.touched_by(event)
        if touched is None:
            return self.rules
        numbers = tuple(sorted(set().union(*touched)))
        found = self._subsets.get(numbers)
        if found is None:
            found = tuple(self.rules[number] for number in numbers)
            if len(self._subsets) < _REMEMBERED_SUBSETS:
                self._subsets[numbers] = found
        return found

    def holding(self, event: ChangeEvent, now: datetime) -> list[Rule]:
        """The rules that hold, in their order."""
        if self.few is not None:
            return [
                rule
                for rule, fields, holds in self.few
                if (not fields or touches(event, fields)) and holds(event, now)
            ]
        rules, certain = self.rules, self._index.certain
        return [
            rules[number]
            for number in sorted(self._possible(event))
            if number in certain or _test(rules[number])(event, now)
        ]

    def _possible(self, event: ChangeEvent) -> set[int]:
        """The numbers of the rules that neither the index nor the fields rule out."""
        found, unplaced = self._index.found(event), self._index.unplaced
        touched = self._fields.touched_by(event)
        if touched is None:
            return found | unplaced
        possible = {number for number in found if any(number in some for some in touched)}
        return possible.union(*(unplaced & some for some in touched))


def _test(rule: Rule) -> Holds:
    return _always if rule.condition is None else rule.condition.holds


def _always(_event: ChangeEvent, _now: datetime) -> bool:
    return True


def wants_dead_letter(rule: Rule, event: ChangeEvent) -> bool:
    """Whether `rule` wants to be told of the dead delivery in `event`."""
    if rule.dead_letters_of is None or event.document is None:
        return False
    return not rule.dead_letters_of or event.document.get("rule") in rule.dead_letters_of
