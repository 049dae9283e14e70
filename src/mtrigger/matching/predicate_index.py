"""Event -> the conditions that can hold, in time that grows with those and not with all there are.

Each condition is kept below one of its alternatives (`conditions.atoms`), the one that it shares with the
fewest others: an equality in a dictionary, a range in a sorted list; where many share an equality, they are
told apart below it by what else they imply. The promise: no condition that holds is missed, and one that is
`certain` holds whenever it is found.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from mtrigger.conditions import Condition
from mtrigger.conditions.atoms import Alternative, is_sufficient
from mtrigger.conditions.keys import NULL, Key, key, keys_at
from mtrigger.conditions.scope import outermost
from mtrigger.conditions.syntax import Step
from mtrigger.events import ChangeEvent
from mtrigger.matching.intervals import Range, Ranges, high_end, low_end

FEW = 16
"""Conditions that are tried one by one rather than told apart."""

MOST_BRANCHES = 8
"""Under how many keys one condition may be repeated below an equality that many share."""


class _Place(NamedTuple):
    root: Any
    path: tuple[Step, ...]


class _Test(NamedTuple):
    """An atom with the number of its place and the keys of its values."""

    place: int
    operator: str
    keys: tuple[Key, ...]

    @property
    def is_equality(self) -> bool:
        return self.operator in ("==", "in")


_Way = tuple[_Test, ...]
"""An alternative: the condition has to be looked for wherever one of the tests could hold."""


class _Entry(NamedTuple):
    """A condition, by its number, and the alternatives left to find it by."""

    number: int
    ways: tuple[_Way, ...]


@dataclass(slots=True)
class _Shelf:
    """What is kept by the values at one place."""

    place: int
    equal: dict[Key, "_Node"] = field(default_factory=dict)
    ranges: dict[int, Ranges] = field(default_factory=dict)


@dataclass(slots=True)
class _Node:
    """Conditions without a way to tell them apart, and shelves for the others. A shelf under a root and the
    first name of its path has nothing to give where that name is missing."""

    unplaced: tuple[int, ...]
    named: dict[Any, dict[str, list[_Shelf]]] = field(default_factory=dict)
    always: list[_Shelf] = field(default_factory=list)


class PredicateIndex:
    """An index of conditions by their numbers: their places in the sequence given."""

    def __init__(self, conditions: Sequence[Condition | None]) -> None:
        numbered: dict[_Place, int] = {}
        entries = [
            _Entry(number, () if condition is None else tuple(_ways(condition.alternatives, numbered)))
            for number, condition in enumerate(conditions)
        ]
        self._places = tuple(numbered)
        self._root = _built(entries, self._places)
        self.unplaced = frozenset(self._root.unplaced)
        self.certain = frozenset(
            number
            for number, condition in enumerate(conditions)
            if condition is not None and number not in self.unplaced and is_sufficient(condition.tree)
        )

    def found(self, event: ChangeEvent) -> set[int]:
        """The conditions that can hold for `event`, but for `unplaced` ones."""
        found: set[int] = set()
        sight = _Sight(event, self._places)
        _search(self._root, sight, found)
        return found


class _Sight:
    """One event as the index looks at it: whatever is looked up is looked up once."""

    __slots__ = ("_event", "_keys", "_places", "_roots")

    def __init__(self, event: ChangeEvent, places: tuple[_Place, ...]) -> None:
        self._event = event
        self._places = places
        self._keys: dict[int, list[Key]] = {}
        self._roots: dict[Any, Any] = {}

    def root(self, name: Any) -> Any:
        found = self._roots.get(name)
        if found is None:
            found = self._roots[name] = outermost(self._event, name)
        return found

    def keys(self, place: int) -> list[Key]:
        found = self._keys.get(place)
        if found is None:
            root, path = self._places[place]
            found = self._keys[place] = keys_at(self.root(root), path)
        return found


def _search(node: _Node, sight: _Sight, found: set[int]) -> None:
    """Add what can be found in the shelves of `node`."""
    for shelf in node.always:
        _look(shelf, sight, found)
    for root, shelves in node.named.items():
        document = sight.root(root)
        for name in shelves if len(shelves) < len(document) else document:
            if name in document:
                for shelf in shelves.get(name, ()):
                    _look(shelf, sight, found)


def _look(shelf: _Shelf, sight: _Sight, found: set[int]) -> None:
    keys = sight.keys(shelf.place)
    for one in keys:
        node = shelf.equal.get(one)
        if node is not None:
            found.update(node.unplaced)
            _search(node, sight, found)
    for kind, ranges in shelf.ranges.items():
        values = [value for kind_found, value in keys if kind_found == kind]
        if values:
            found.update(ranges.holding(min(values), max(values)))


def _ways(alternatives: Iterable[Alternative], numbered: dict[_Place, int]) -> Iterator[_Way]:
    """The alternatives all of whose values have keys. New places are numbered."""
    for alternative in alternatives:
        way = []
        for atom in alternative:
            keys = tuple(key(value) for value in atom.values)
            known = tuple(one for one in keys if one is not None)
            if len(known) < len(keys):
                break
            place = numbered.setdefault(_Place(atom.root, atom.path), len(numbered))
            way.append(_Test(place, atom.operator, known))
        else:
            yield tuple(way)


def _built(entries: list[_Entry], places: tuple[_Place, ...]) -> _Node:
    """The node for some conditions, and everything below it."""
    if len(entries) <= FEW:
        return _Node(tuple(entry.number for entry in entries))
    sorting = _Sorting()
    shared = Counter(_equalities(entries))
    for entry in entries:
        if entry.ways:
            sorting.place(entry, min(entry.ways, key=partial(_cost, shared)))
        else:
            sorting.unplaced.append(entry.number)
    node = _Node(tuple(sorting.unplaced))
    for place in dict.fromkeys((*sorting.equal, *sorting.ranges)):
        by_key, by_kind = sorting.equal[place], sorting.ranges[place]
        shelf = _Shelf(
            place,
            {one: _built(below, places) for one, below in by_key.items()},
            {kind: Ranges(some) for kind, some in by_kind.items()},
        )
        root, (first, *_) = places[place]
        if NULL in by_key or NULL[0] in by_kind or not isinstance(first, str):
            node.always.append(shelf)
        else:
            node.named.setdefault(root, {}).setdefault(first, []).append(shelf)
    return node


class _Sorting:
    """What lies where, while a node is built: by place, then by key or by kind."""

    def __init__(self) -> None:
        self.unplaced: list[int] = []
        self.equal: dict[int, dict[Key, list[_Entry]]] = defaultdict(lambda: defaultdict(list))
        self.ranges: dict[int, dict[int, list[Range]]] = defaultdict(lambda: defaultdict(list))

    def place(self, entry: _Entry, chosen: _Way) -> None:
        """Put the condition wherever the chosen alternative says it must be looked for."""
        others = tuple(way for way in entry.ways if way is not chosen and _is_slim(way))
        below = _Entry(entry.number, others)
        for test in chosen:
            if test.is_equality:
                for one in set(test.keys):
                    self.equal[test.place][one].append(below)
            else:
                ((kind, value),) = test.keys
                low, high = low_end(test.operator, value), high_end(test.operator, value)
                for other, end in _other_ends(entry, test):
                    low = low or low_end(other, end)
                    high = high or high_end(other, end)
                self.ranges[test.place][kind].append(Range(low, high, entry.number))


def _equalities(entries: Iterable[_Entry]) -> Iterator[tuple[int, Key]]:
    """What the conditions could be found by in dictionaries, each place and key as often as they name it."""
    for entry in entries:
        for way in entry.ways:
            for test in way:
                if test.is_equality:
                    yield from ((test.place, one) for one in test.keys)


def _cost(shared: Counter[tuple[int, Key]], way: _Way) -> tuple[int, int, int]:
    """What to choose an alternative by. Equalities come first, those shared with the fewest; then ranges;
    null last, because many documents lack a field."""
    kinds, most, keys = 0, 0, 0
    for test in way:
        keys += len(test.keys)
        if NULL in test.keys:
            kinds = 2
        elif test.is_equality:
            most = max(most, *(shared[test.place, one] for one in test.keys))
        else:
            kinds = max(kinds, 1)
    return kinds, most, keys


def _other_ends(entry: _Entry, test: _Test) -> Iterator[tuple[str, Any]]:
    """The ranges of the same kind at the same place that the condition implies in any case."""
    for way in entry.ways:
        if len(way) == 1 and way[0].place == test.place and not way[0].is_equality:
            ((kind, end),) = way[0].keys
            if kind == test.keys[0][0]:
                yield way[0].operator, end


def _is_slim(way: _Way) -> bool:
    return sum(len(test.keys) for test in way) <= MOST_BRANCHES
