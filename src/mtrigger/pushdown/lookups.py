"""What a look-up asks for besides the id: only documents that some rule may hold for. Pure.

Promise: what does not come back for the filter of its `Cover` holds for no rule, whether the document is gone
or another one than the rules want. Why that is so:

* An event is judged by the document found with what the update itself set laid over it, or, when it is gone,
  by its key and what the update set (`planning.filled_in`). So below a first name that neither the update
  touched nor the key has, there is what the look-up found, or nothing.
* Whenever a rule holds, so does one atom of each alternative of its condition (`conditions.atoms`). A cover
  asks for one alternative of every rule that could hold, with all its atoms about such names of the document,
  and none that a missing field meets. If no atom holds for what is there, no rule holds; if nothing is there,
  none holds either.
* A rule that cannot be asked for in this way does not count if what the update set rules it out: a field that
  was set or removed as a whole, and in no other way, is as the update left it.
* The server is never narrower than an atom. A collection may have a collation of its own, which a `find`
  follows: strings that are equal are equal in each, but which comes first differs. So no order of strings is
  asked for.

An event whose own bytes could not be read, or whose paths were too large to come along, is looked up by its
id alone; so is everything where a filter would cost more than the documents it spares.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mtrigger.conditions import Condition
from mtrigger.conditions.atoms import Alternative, Atom, breadth, holds_in
from mtrigger.conditions.merging import Forms, can_be_asked, forms, merged_filter
from mtrigger.conditions.server_fields import Prefixes
from mtrigger.conditions.values import MISSING, TypeClass, type_class
from mtrigger.events import ChangeEvent
from mtrigger.matching import Matcher
from mtrigger.pushdown import costs
from mtrigger.rules import Rule

_WITHOUT_COLLATION = (
    TypeClass.NUMBER,
    TypeClass.DATE,
    TypeClass.OBJECT_ID,
    TypeClass.BOOL,
    TypeClass.BINARY,
    TypeClass.TIMESTAMP,
)
_PREFIXES: Prefixes = {"document": ""}

MOST_COVERS = 8
"""Covers in one `find`, each a branch of it."""

KEYS_FOR_A_DOCUMENT = 100
"""Constants that cost about as much to send and to read as one document does, decoded and looked at."""

MOST_TRIED = 8
"""Rules that each update is held against by itself, to see whether they need its document at all."""

MOST_RULES_READ = 100_000
"""Rules that covers are made of in all, about a second's work. What comes after is asked for by id alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Cover:
    """What some documents are asked for: `filter`, over the documents themselves, in which there are so many
    constants. Events with the same cover share the object."""

    filter: dict[str, Any]
    constants: int = 0


EVERYTHING = Cover({})
"""Asks for the document, whatever it is."""


class LookUpCovers:
    """The covers for one set of rules. They are remembered: a collection sees the same few kinds of updates
    over and over."""

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self._known: dict[int, _Candidates] = {}
        self._left = MOST_RULES_READ

    def of(self, event: ChangeEvent) -> Cover | None:
        """What to ask for the document of `event`; None when no rule could hold for it, whatever it is."""
        rules = self._matcher.candidates(event)
        if not rules:
            return None
        if event.flaw or "updated" in event.left_out:
            return EVERYTHING
        # By identity, as the matcher remembers its answers, too: rules by the thousand are slow to compare.
        known = self._known.get(id(rules))
        if known is None:
            if not self._may_read(rules):
                return EVERYTHING
            known = self._known[id(rules)] = _Candidates(rules)
        touched = known.names.intersection(_first_names(event))
        asked = known.asked.get(touched)
        if asked is None:
            if not self._may_read(rules):
                return EVERYTHING
            asked = known.asked[touched] = known.ask(touched)
        if not asked.unless or _rules_out(event, asked.unless):
            return asked.cover
        return EVERYTHING

    def _may_read(self, rules: Sequence[Rule]) -> bool:
        self._left -= len(rules) + 10  # what one rule costs is not all there is
        return self._left > 0


def look_up(ids: Mapping[Cover, Sequence[Any]]) -> dict[str, Any]:
    """The filter of one `find` for the documents with these ids, none of them twice."""
    worth = {
        cover: some
        for cover, some in ids.items()
        if cover.filter and cover.constants <= KEYS_FOR_A_DOCUMENT * len(some)
    }
    largest = sorted(worth, key=lambda cover: len(worth[cover]), reverse=True)[:MOST_COVERS]
    parts = [{"_id": {"$in": list(ids[cover])}, **cover.filter} for cover in largest]
    if rest := [one for cover, some in ids.items() if cover not in largest for one in some]:
        parts.append({"_id": {"$in": rest}})
    return parts[0] if len(parts) == 1 else {"$or": parts}


@dataclass(frozen=True, slots=True)
class _Way:
    """An alternative of one condition that a look-up may ask for."""

    alternative: Alternative
    names: frozenset[str]
    forms: Forms


@dataclass(frozen=True, slots=True)
class _Asked:
    """The cover for the events that touched the same names, and the ways of the rules it leaves out: it only
    serves an event that rules each of them out."""

    cover: Cover | None
    unless: tuple[list[_Way], ...] = ()


class _Candidates:
    """Rules that could hold for the same events. `names` are the first names of what may be asked for."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self.asked: dict[frozenset[str], _Asked] = {}
        self._ways = [_ways(condition) for condition in dict.fromkeys(rule.condition for rule in rules)]
        self.names = frozenset(name for ways in self._ways for way in ways for name in way.names)

    def ask(self, touched: Collection[str]) -> _Asked:
        """What to ask for when nothing below `touched` can be."""
        possible = [[way for way in ways if way.names.isdisjoint(touched)] for ways in self._ways]
        left_out = [
            [way for way in ways if way.names.issubset(touched)]
            for ways, found in zip(self._ways, possible, strict=True)
            if not found
        ]
        if len(left_out) > MOST_TRIED or not all(left_out):
            return _Asked(EVERYTHING)
        return _Asked(_cover([ways for ways in possible if ways]), tuple(left_out))


def _cover(possible: Sequence[Sequence[_Way]]) -> Cover | None:
    """The cover for rules by one of their ways each; None when no rule can hold."""
    shared = Counter(way.forms for ways in possible for way in ways)
    chosen = [min(ways, key=partial(_rank, shared)) for ways in possible]
    atoms = [atom for way in chosen for atom in way.alternative]
    if not atoms:
        return None
    asked = merged_filter(atoms, _PREFIXES)
    constants = sum(len(atom.values) for atom in atoms)
    return Cover(asked, constants) if costs.price(asked) <= costs.EVENT else EVERYTHING


def _rules_out(event: ChangeEvent, unless: Iterable[Sequence[_Way]]) -> bool:
    """Whether what the event says itself fails a way of each rule."""
    own = _certain(event)
    return all(any(_fails(way, own) for way in ways) for ways in unless)


def _fails(way: _Way, own: Mapping[str, Any]) -> bool:
    return way.names <= own.keys() and not any(holds_in(atom, own) for atom in way.alternative)


def _certain(event: ChangeEvent) -> dict[str, Any]:
    """The fields that the update set or removed as a whole and did nothing else to, and that the key has not,
    with their values."""
    touched = Counter(path.partition(".")[0] for path in (*event.touched, *event.key))
    own = {**event.updated, **dict.fromkeys(event.removed, MISSING)}
    return {name: value for name, value in own.items() if touched[name] == 1}


def _first_names(event: ChangeEvent) -> Iterable[str]:
    """The first names of all that the event says itself: what its update touched, and its key."""
    return {path.partition(".")[0] for path in (*event.touched, *event.key)}


def _ways(condition: Condition | None) -> list[_Way]:
    alternatives = condition.alternatives if condition is not None else ()
    return [_Way(found, _names(found), forms(found)) for found in alternatives if _is_usable(found)]


def _names(alternative: Alternative) -> frozenset[str]:
    return frozenset(str(atom.path[0]) for atom in alternative)


def _is_usable(alternative: Alternative) -> bool:
    return all(map(_is_firm, alternative)) and can_be_asked(alternative, _PREFIXES)


def _is_firm(atom: Atom) -> bool:
    """Whether the atom fails where the field is missing, and holds in every collation if it holds in one."""
    if atom.root != "document" or not isinstance(atom.path[0], str) or holds_in(atom, {}):
        return False
    return atom.operator in ("==", "in") or type_class(atom.values[0]) in _WITHOUT_COLLATION


def _rank(shared: Counter[Forms], way: _Way) -> tuple[int, int, int]:
    """The narrowest kind of test first; of these what most rules can share, then the fewest constants."""
    kind, constants = breadth(way.alternative)
    return kind, -shared[way.forms], constants
