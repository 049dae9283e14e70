"""A condition: one parsed `when:`, and everything that can be asked of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from mtrigger.conditions.about import About
from mtrigger.conditions.atoms import Alternative, alternatives
from mtrigger.conditions.description import description
from mtrigger.conditions.evaluation import paths_read
from mtrigger.conditions.filters import Pushed, exact_filter, pushed_filter
from mtrigger.conditions.generation import Holds, generate
from mtrigger.conditions.mapping import mapping_text, mapping_tree
from mtrigger.conditions.parsing import parse_tree
from mtrigger.conditions.scope import scope
from mtrigger.conditions.syntax import Became, Changed, JsonPath, Node, Path, Value
from mtrigger.conditions.tracing import Trace, traced
from mtrigger.conditions.walking import children
from mtrigger.events import ChangeEvent


@dataclass(frozen=True, slots=True)
class Reading:
    """Something a condition looks at. `path` without steps is all of it; `[*]` steps are left out."""

    root: Literal["document", "before", "event", "changed"]
    path: tuple[str, ...]


class Condition:
    """One `when:`. Immutable; two conditions are equal if their texts are, and what these mean."""

    def __init__(self, text: str, tree: Node) -> None:
        self._text = text
        self._tree = tree

    @property
    def text(self) -> str:
        """As the user wrote it; a mapping as compact Extended JSON."""
        return self._text

    def written_as(self, text: str) -> "Condition":
        """The same condition, shown as `text`: as it was before values from outside were filled in."""
        return Condition(text, self._tree)

    @property
    def tree(self) -> Node:
        """The syntax tree."""
        return self._tree

    @cached_property
    def reads(self) -> frozenset[Reading]:
        """What it looks at."""
        return frozenset(_readings(self._tree))

    @cached_property
    def alternatives(self) -> tuple[Alternative, ...]:
        """What must be so for it to hold, the narrowest first: one atom of each alternative."""
        return alternatives(self._tree)

    @cached_property
    def holds(self) -> Holds:
        """`holds(event, now)`: whether the condition holds for the event. Never raises; compiled at first
        use.

        `now` is an aware datetime; it is what `now()` gives.
        """
        return generate(self._tree)

    @cached_property
    def lasting(self) -> "Condition":
        """The state that it asks about: of a whole `became(…)` what is inside, else itself."""
        return Condition(self._text, self._tree.part) if isinstance(self._tree, Became) else self

    @cached_property
    def is_of_a_state(self) -> bool:
        """Whether it is about the document alone, and not about a change of it."""
        about = {reading.root for reading in self.reads}
        return about <= {"document"}

    def entering(self) -> "Condition":
        """The condition that holds when this one, which is of a state, begins to hold: `became(…)`."""
        return Condition(self._text, Became(f"became({self._text})", self._tree))

    def filter(self, now: datetime) -> dict[str, Any]:
        """The same condition as a MongoDB filter over the documents themselves, for `find`.

        Raises NotTranslatable if the condition asks about more than the document, or uses a JSONPath beyond
        names, indexes and `[*]`.
        """
        return exact_filter(self._tree, now)

    def pushdown(self, prefix: str) -> Pushed:
        """A filter over change events whose document lies under `prefix` ("fullDocument" or
        "fullDocumentBeforeChange"); it lets through every event that the condition holds for."""
        return pushed_filter(self._tree, prefix)

    def trace(self, event: ChangeEvent, now: datetime) -> Trace:
        """Which part held for the event, and what was seen there."""
        return traced(self._tree, scope(event, now))

    def describe(self) -> str:
        """The condition in plain English."""
        return description(self._tree)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and (other._text, other._tree) == (self._text, self._tree)

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"Condition({self._text!r})"


def parse(text: str, about: About = "document") -> Condition:
    """Read an expression, whose names are `about` a document or a message. Raises ConditionError with line,
    column and what was expected."""
    return Condition(text, parse_tree(text, about))


def parse_mapping(mapping: Mapping[str, Any], about: About = "document") -> Condition:
    """Read a MongoDB filter; values may be BSON values or their Extended JSON. Raises ConditionError naming
    the key."""
    tree = mapping_tree(mapping, about)
    return Condition(mapping_text(mapping), tree)


def _readings(tree: Node) -> Iterator[Reading]:
    waiting: list[Node | Value] = [tree]
    while waiting:
        node = waiting.pop()
        match node:
            case Changed(place=place):
                yield Reading("changed", place.names)
                continue
            case Became(part=part):
                yield from (Reading("before", names) for names in paths_read(part))
            case JsonPath():
                yield Reading("document", ())
            case Path(root="document" | "before" | "event" as root):
                yield Reading(root, node.names)  # within $elemMatch the array's own path is enough
        waiting.extend(children(node))
