"""Whether a change touched the fields that a rule names under `fields:`.

`touches` answers for one rule; `FieldIndex` for many at once, in time that grows with the paths that the
change touched. The promise: both give the same answer.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from mtrigger.events import ChangeEvent


def touches(event: ChangeEvent, fields: Iterable[str]) -> bool:
    """Whether an update set, removed or truncated one of `fields`, something below or something above it.

    A replace with a pre-image is compared value by value; without one, and for inserts and deletes, which
    concern every field, as for a document found by a rescan, the answer is yes. So it is when what an update
    set was too large to come along.
    """
    if _concerns_every_field(event):
        return True
    if event.operation == "update":
        return any(_overlap(path, field) for path in event.touched for field in fields)
    changed = event.changed
    return any(_root(field) in changed for field in fields)


def _concerns_every_field(event: ChangeEvent) -> bool:
    if "updated" in event.left_out:
        return True
    if event.operation == "update":
        return False
    return event.operation != "replace" or event.before is None or event.document is None


def _overlap(path: str, field: str) -> bool:
    """Whether one dotted path is the other or leads to it. Array positions in `path` (`items.3.qty`) are
    passed over where `field` does not name them (`items.qty`)."""
    return _leads(path, field) or _leads(without_positions(path), field)


def _leads(path: str, field: str) -> bool:
    return path == field or path.startswith(f"{field}.") or field.startswith(f"{path}.")


def without_positions(path: str) -> str:
    """`items.3.qty` -> `items.qty`."""
    return ".".join(part for part in path.split(".") if not part.isdigit())


def _root(field: str) -> str:
    return field.partition(".")[0]


def _ways_down(path: str) -> Iterator[str]:
    """`a.b.c` -> `a`, `a.b`, `a.b.c`."""
    names = path.split(".")
    return (".".join(names[:length]) for length in range(1, len(names) + 1))


class FieldIndex:
    """The fields that many rules name; each rule goes by its number in the sequence given."""

    def __init__(self, named: Sequence[Iterable[str]]) -> None:
        self._carefree = frozenset(number for number, fields in enumerate(named) if not fields)
        at: dict[str, set[int]] = defaultdict(set)
        below: dict[str, set[int]] = defaultdict(set)
        roots: dict[str, set[int]] = defaultdict(set)
        for number, fields in enumerate(named):
            for field in fields:
                at[field].add(number)
                roots[_root(field)].add(number)
                for way in _ways_down(field):
                    below[way].add(number)
        self._at, self._below, self._roots = dict(at), dict(below), dict(roots)

    def touched_by(self, event: ChangeEvent) -> list[frozenset[int] | set[int]] | None:
        """The numbers of the rules that `event` touches a field of, or that name none, as sets that may
        overlap and are not to be changed. None: all there are."""
        if not self._at or _concerns_every_field(event):
            return None
        found: list[frozenset[int] | set[int]] = [self._carefree]
        if event.operation == "update":
            for path in {way for touched in event.touched for way in (touched, without_positions(touched))}:
                found += (self._at[way] for way in _ways_down(path) if way in self._at)
                found += (self._below[path],) if path in self._below else ()
        else:
            found += (self._roots[name] for name in event.changed if name in self._roots)
        return found
