"""Many rules -> few tests: what the events of one kind are asked for all rules that want them. Pure.

Rules are put into families: those whose conditions can be asked for by the same tests (`customer` is one of
these keys, `amount` is above the least of these). Of each family the server gets either every condition, each
as a branch of its own, or what the family shares, or nothing: what costs least by the model in `costs`. The
tests of one rule about one field stay apart, since different elements of an array may meet them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mtrigger.conditions import Condition
from mtrigger.conditions.atoms import Alternative, Atom, alternatives, breadth
from mtrigger.conditions.merging import Forms, Place, bounded, can_be_asked, forms, merged_filter
from mtrigger.conditions.server_fields import Prefixes
from mtrigger.pushdown import costs, updates

Filter = dict[str, Any]

NEVER: Filter = {"$alwaysFalse": 1}
MOST_SHARED = 3
"""Tests, each about other fields, that one family is asked for together."""


@dataclass(frozen=True, slots=True)
class Images:
    """Where the documents of one kind of event lie. `certain`: every such event carries the document;
    `own_fields`: it says at least what it set."""

    document: str
    certain: bool
    own_fields: bool

    @property
    def prefixes(self) -> Prefixes:
        return {"document": self.document, "before": "fullDocumentBeforeChange", "event": ""}


STORED = Images("fullDocument", certain=True, own_fields=False)
UPDATED = Images("fullDocument", certain=False, own_fields=True)
DELETED = Images("fullDocumentBeforeChange", certain=False, own_fields=False)


@dataclass(frozen=True, slots=True)
class Share:
    """What the server is asked for some conditions together: `filter` holds for every event that one of them
    holds for. `each`: each condition is a branch of its own in it."""

    conditions: tuple[Condition, ...]
    filter: Filter
    each: bool


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One condition, and the tests that are necessary for it, by their forms."""

    condition: Condition
    ways: Mapping[Forms, Alternative]


def covers(conditions: Iterable[Condition], images: Images) -> list[Share]:
    """What to ask for `conditions`, each of which is in one of the shares. An event must get through when
    the filter of one share lets it through."""
    found = [_wanted(condition, images) for condition in dict.fromkeys(conditions)]
    never = [wanted.condition for wanted in found if frozenset() in wanted.ways]
    possible = [wanted for wanted in found if frozenset() not in wanted.ways]
    shares = [_share(family, images) for family in _families(possible, images)]
    if sum(map(len, map(str, (share.filter for share in shares)))) > costs.MOST_KEY_BYTES or (
        costs.expense(any_of(share.filter for share in shares)) > costs.EVENT
    ):
        shares = [Share(tuple(wanted.condition for wanted in possible), {}, each=False)]
    return shares + [Share((condition,), NEVER, each=True) for condition in never]


def any_of(filters: Iterable[Filter]) -> Filter:
    """A filter that holds where one of `filters` does."""
    parts = list({repr(part): part for part in filters if part != NEVER}.values())
    if {} in parts:
        return {}
    return parts[0] if len(parts) == 1 else {"$or": parts} if parts else NEVER


def all_of(filters: Iterable[Filter]) -> Filter:
    """A filter that holds where all of `filters` do."""
    parts = [part for part in filters if part]
    if len(parts) <= 1:
        return parts[0] if parts else {}
    plain = all(not name.startswith("$") for part in parts for name in part)
    names = [name for part in parts for name in part]
    if plain and len(set(names)) == len(names):
        return {name: test for part in parts for name, test in part.items()}
    return {"$and": parts}


def _wanted(condition: Condition, images: Images) -> _Wanted:
    usable = [found for found in alternatives(condition.tree) if can_be_asked(found, images.prefixes)]
    ways: dict[Forms, Alternative] = {}
    for found in (*usable, *(wider for one in usable for wider in bounded(one))):
        ways.setdefault(forms(found), found)
    return _Wanted(condition, ways)


def _families(wanted: Sequence[_Wanted], images: Images) -> Iterator[list[_Wanted]]:
    """The conditions, each in one family: first the largest that can be asked for by the same test, then the
    largest of what is left."""
    left = list(wanted)
    while left:
        counts = Counter(form for one in left for form in one.ways)
        if not counts:
            yield from ([one] for one in left)
            return
        shared = min(counts, key=partial(_rank, left, counts, images))
        yield [one for one in left if shared in one.ways]
        left = [one for one in left if shared not in one.ways]


def _rank(
    left: Sequence[_Wanted], counts: Mapping[Forms, int], images: Images, shared: Forms
) -> tuple[int, bool, int, str]:
    """First what most can share, then what updates can answer, then what is narrow."""
    example = next(one.ways[shared] for one in left if shared in one.ways)
    kind, _ = breadth(example)
    is_unknown = images.own_fields and not updates.says(example)
    return -counts[shared], is_unknown, kind, _name(shared)


def _name(shared: Forms) -> str:
    return repr(sorted(shared, key=repr))


def _share(family: Sequence[_Wanted], images: Images) -> Share:
    conditions = tuple(one.condition for one in family)
    shared = all_of(_merged(family, lambda _: True, partial(_ask, images.prefixes)))
    each: Filter = {}
    if len(family) * costs.TEST <= costs.EVENT:
        each = any_of(condition.pushdown(images.document).filter for condition in conditions)
    chosen = min((each, shared, {}), key=costs.expense)
    wanted = chosen if images.certain or not chosen else {"$or": [{images.document: None}, chosen]}
    if images.own_fields:
        wanted = all_of([*_merged(family, updates.says, updates.may_hold), wanted])
    return Share(conditions, wanted, each=chosen is each and images.certain)


def _ask(prefixes: Prefixes, atoms: Sequence[Atom]) -> Filter:
    return merged_filter(atoms, prefixes)


def _merged(
    family: Sequence[_Wanted],
    is_usable: Callable[[Alternative], bool],
    ask: Callable[[Sequence[Atom]], Filter],
) -> Iterator[Filter]:
    """The tests that all of `family` have in common, the narrowest first, each merged into one."""
    common = frozenset.intersection(*(frozenset(one.ways) for one in family))
    merged = {shared: [atom for one in family for atom in one.ways[shared]] for shared in common}
    usable = {shared: atoms for shared, atoms in merged.items() if is_usable(family[0].ways[shared])}
    order = sorted(usable, key=lambda shared: (breadth(tuple(usable[shared])), _name(shared)))
    asked, keyed = 0, set[Place]()
    for shared in order:
        places = {place for place, _ in shared}
        if asked < MOST_SHARED and not places <= keyed:
            asked += 1
            if all(kind == "keys" for _, kind in shared):
                keyed |= places  # nothing that follows from the keys says more
            yield ask(usable[shared])
