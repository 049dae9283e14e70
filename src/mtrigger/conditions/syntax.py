"""The syntax tree of a condition: frozen nodes, each with the piece of text it was read from.

Two families. A *condition* holds or does not; a *value* stands for zero, one or several BSON values (a path
over an array stands for each element). Both ways of writing a condition, the expression and the MongoDB
filter, become this tree, and everything else (evaluation, generated Python, translation, trace, description)
reads only it.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from mtrigger.conditions.jsonpaths import Search
from mtrigger.conditions.regexes import Pattern

Root = Literal["document", "before", "event", "element"]
ComparisonOperator = Literal["==", "<", "<=", ">", ">="]
ArithmeticOperator = Literal["+", "-", "*", "/", "%"]


class Each(Enum):
    """The step `[*]`: each element of an array, and of nothing else."""

    ELEMENT = "[*]"


Step = str | Each
"""A name or an index ("0"), as MongoDB writes it in a dotted path; or `[*]`."""


@dataclass(frozen=True, slots=True)
class Path:
    """Where a value is found. `element` is the root inside `$elemMatch`: the array element itself."""

    text: str
    root: Root
    steps: tuple[Step, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The steps without `[*]`."""
        return tuple(step for step in self.steps if isinstance(step, str))

    @property
    def is_plain(self) -> bool:
        """Whether there is no `[*]` in it."""
        return len(self.names) == len(self.steps)


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A JSONPath beyond names, indexes and `[*]`: searched in Python only."""

    text: str
    search: Search


Place = Path | JsonPath


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal, or what an expression without paths came to."""

    text: str
    value: Any


@dataclass(frozen=True, slots=True)
class Now:
    """The moment of evaluation."""

    text: str


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`left operator right`, for each choice of their values."""

    text: str
    operator: ArithmeticOperator
    left: "Value"
    right: "Value"


@dataclass(frozen=True, slots=True)
class Length:
    """Code points of a string, elements of an array. A path inside is not spread over its last array."""

    text: str
    argument: "Value"


@dataclass(frozen=True, slots=True)
class LetterCase:
    """A string with its ASCII letters in lower or upper case."""

    text: str
    case: Literal["lower", "upper"]
    argument: "Value"


Value = Path | JsonPath | Constant | Now | Arithmetic | Length | LetterCase


@dataclass(frozen=True, slots=True)
class Always:
    """`true` or `false`, written or worked out."""

    text: str
    held: bool


@dataclass(frozen=True, slots=True)
class And:
    """All parts hold (an empty one holds)."""

    text: str
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of the parts holds."""

    text: str
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    text: str
    part: "Node"


@dataclass(frozen=True, slots=True)
class Compare:
    """A place against an operand without paths, in MongoDB's match language."""

    text: str
    operator: ComparisonOperator
    place: Place
    operand: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """`in` / `$in`: a value equal to one of `choices`, or a string that one of `patterns` is found in."""

    text: str
    place: Place
    choices: tuple[Any, ...]
    patterns: tuple[Pattern, ...] = ()


@dataclass(frozen=True, slots=True)
class Exists:
    """The place is there, even if null."""

    text: str
    place: Place


TextTest = Literal["matches", "startswith", "endswith", "contains"]


@dataclass(frozen=True, slots=True)
class Matches:
    """The pattern is found in a string (or is equal to a regular expression stored there). `words` and
    `wanted` keep how it was written, for people."""

    text: str
    place: Place
    pattern: Pattern
    words: TextTest
    wanted: str


@dataclass(frozen=True, slots=True)
class HasType:
    """`$type`: one of these names of BSON types ("number" is any of the four)."""

    text: str
    place: Place
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HasSize:
    """`$size`: an array of exactly so many elements."""

    text: str
    place: Path
    size: int


@dataclass(frozen=True, slots=True)
class HasRemainder:
    """`$mod`: the whole part of a number leaves `remainder` when divided by `divisor`."""

    text: str
    place: Path
    divisor: int
    remainder: int


@dataclass(frozen=True, slots=True)
class AnyElement:
    """`$elemMatch`: an array with an element for which `part` holds. `only_documents`: elements that are
    neither documents nor arrays are passed over. `filter` is the same as MongoDB reads it."""

    text: str
    place: Path
    part: "Node"
    only_documents: bool
    filter: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CompareValues:
    """Two values, at least one of which is worked out; holds if it does for some choice of theirs."""

    text: str
    operator: ComparisonOperator
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class ValueOneOf:
    """A worked-out value equal to one of `choices`."""

    text: str
    value: Value
    choices: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """The event changed what is at this path, above it or below it."""

    text: str
    place: Path


@dataclass(frozen=True, slots=True)
class Became:
    """The part holds now and did not hold before this event."""

    text: str
    part: "Node"


Node = (
    Always
    | And
    | Or
    | Not
    | Compare
    | OneOf
    | Exists
    | Matches
    | HasType
    | HasSize
    | HasRemainder
    | AnyElement
    | CompareValues
    | ValueOneOf
    | Changed
    | Became
)
