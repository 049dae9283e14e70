"""A YAML file as a tree of values that know where they were written.

Merging defaults and filling in `${…}` make new trees out of these nodes; a mistake found at any later stage
is reported where the value was written, whichever file that was.
"""

import re
from collections.abc import Mapping as MappingABC
from collections.abc import Sequence as SequenceABC
from dataclasses import dataclass, replace
from typing import Any

from mtrigger.errors import Mistake

Path = SequenceABC[str | int]


@dataclass(frozen=True, slots=True)
class Source:
    """One file: `name` is how it is shown, `text` all of it."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where something begins: `index` into the text, `line` and `column` from 1."""

    source: Source
    index: int
    line: int
    column: int

    def at(self, index: int) -> "Place":
        """The place of another index of the same file, not before this one."""
        between = self.source.text[self.index : index]
        newlines = between.count("\n")
        column = index - (self.index + between.rindex("\n")) if newlines else self.column + len(between)
        return Place(self.source, index, self.line + newlines, column)


@dataclass(frozen=True, slots=True)
class Fill:
    """One `${…}` that was filled in: `raw` in the file became the characters `start` to `end` of the value.

    `raw_start` is where `raw` stands in the text as written. `secret` is false for a default written in the
    file.
    """

    raw: str
    raw_start: int
    start: int
    end: int
    secret: bool


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. `raw` is its text before `${…}` was filled in; `style` its quotes: ' " | > or none."""

    place: Place
    value: Any
    raw: str
    style: str
    end: int
    fills: tuple[Fill, ...] = ()


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    place: Place
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key: value` of a mapping; `place` is the key's."""

    place: Place
    node: "Node"


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values, in the order of the file."""

    place: Place
    entries: MappingABC[str, Entry]

    def without(self, *keys: str) -> "Mapping":
        """The same mapping with `keys` left out."""
        return replace(self, entries={key: entry for key, entry in self.entries.items() if key not in keys})

    def get(self, key: str) -> "Node | None":
        """The value of `key`, if it is there."""
        entry = self.entries.get(key)
        return entry.node if entry else None


Node = Scalar | Sequence | Mapping


def plain(node: Node) -> Any:
    """The tree as plain Python values."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key: plain(entry.node) for key, entry in node.entries.items()}


def written(node: Node) -> Any:
    """The same as it stands in the file, before `${…}` was filled in."""
    if isinstance(node, Scalar):
        return node.raw if node.fills else node.value
    if isinstance(node, Sequence):
        return [written(item) for item in node.items]
    return {key: written(entry.node) for key, entry in node.entries.items()}


def find(node: Node, path: Path) -> tuple[Node, Place]:
    """The node at `path` and the place of its key (of itself in a list); the nearest one above if it is not
    there."""
    place = node.place
    for part in path:
        if isinstance(node, Mapping) and part in node.entries:
            entry = node.entries[str(part)]
            node, place = entry.node, entry.place
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
            place = node.place
        else:
            break
    return node, place


def place_of(node: Node, path: Path) -> Place | None:
    """Where the key at the end of `path` stands, if it is there."""
    parent, _ = find(node, path[:-1])
    entry = parent.entries.get(str(path[-1])) if isinstance(parent, Mapping) else None
    return entry.place if entry is not None else None


def merge(under: Node, over: Node) -> Node:
    """`over` on top of `under`: mappings are merged key by key, everything else is `over` alone."""
    if not (isinstance(under, Mapping) and isinstance(over, Mapping)):
        return over
    entries = dict(under.entries)
    for key, entry in over.entries.items():
        below = under.entries.get(key)
        entries[key] = Entry(entry.place, merge(below.node, entry.node)) if below else entry
    return Mapping(over.place, entries)


def _words_from_outside(scalar: Scalar) -> set[str]:
    """The words of a value that `${…}` brought in and that do not stand in the file anyway."""
    values = [str(scalar.value)[fill.start : fill.end] for fill in scalar.fills if fill.secret]
    return {word for value in values for word in re.findall(r"\w{3,}", value) if word not in scalar.raw}


class Report:
    """Collects the mistakes of one load, and keeps what `${…}` was filled with out of their messages."""

    def __init__(self) -> None:
        self._mistakes: dict[tuple[str, int, int], list[Mistake]] = {}
        self._hidden: dict[str, str] = {}
        self._unfilled: set[Place] = set()

    def give_up(self, place: Place) -> None:
        """What stands at `place` could not be filled in, which is reported: what else is wrong there follows
        from that, and is not."""
        self._unfilled.add(place)

    def hide(self, value: str, raw: str) -> None:
        """From now on messages show `raw` where they would show `value`."""
        for form in (value, repr(value)[1:-1]):
            if len(form) > 3:  # shorter ones are no secrets, and would garble every message
                self._hidden.setdefault(form, raw)

    def add(self, place: Place, message: str, about: "Node | None" = None) -> None:
        """Report `message` at `place`; without its reason if that quotes a part of what filled in the value
        it is `about`: a piece of a secret is a secret too."""
        if place in self._unfilled:
            return
        if isinstance(about, Scalar) and any(word in message for word in _words_from_outside(about)):
            message = f"this is not right once {about.raw} is filled in (saying why would show it)"
        self.add_at(place.source.name, place.line, place.column, message)

    def add_within(self, node: "Node", path: Path, message: str) -> None:
        """Report `message` at `path` of `node`, or at the nearest place above if nothing stands there."""
        _, place = find(node, path)
        self.add(place, message)

    def add_at(self, file: str, line: int, column: int, message: str) -> None:
        """Report `message` at a line and column (from 1) of a file. The same mistake is reported once."""
        for value in sorted(self._hidden, key=len, reverse=True):
            message = message.replace(value, self._hidden[value])
        found = self._mistakes.setdefault((file, line, column), [])
        mistake = Mistake(file, line, column, message)
        if mistake not in found:
            found.append(mistake)

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """Everything reported so far."""
        return tuple(mistake for found in self._mistakes.values() for mistake in found)
