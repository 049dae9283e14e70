"""The functions of the `when:` language: what each takes and which node it becomes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NoReturn

from bson.errors import InvalidId
from bson.objectid import ObjectId

from mtrigger.conditions import texts
from mtrigger.conditions.misuse import MisuseError
from mtrigger.conditions.regex_tree import RegexError
from mtrigger.conditions.regexes import Pattern, literal, pattern
from mtrigger.conditions.syntax import (
    Always,
    Became,
    Changed,
    Compare,
    Constant,
    Exists,
    JsonPath,
    Length,
    LetterCase,
    Matches,
    Node,
    Now,
    Path,
    Place,
    TextTest,
    Value,
)
from mtrigger.conditions.walking import walk


@dataclass(frozen=True, slots=True)
class Argument:
    """What was given to a function, and where."""

    node: Node | Value
    start: int
    text: str


@dataclass(frozen=True, slots=True)
class Function:
    """How many arguments it takes, how it is written, and what makes its node."""

    arguments: tuple[int, ...]
    usage: str
    make: Callable[[str, list[Argument]], Node | Value]


def call(name: str, text: str, arguments: list[Argument], end: int) -> Node | Value:
    """The node for `name(arguments)`; `text` is all of it, `end` where it ends. Raises MisuseError."""
    function = FUNCTIONS[name]
    if len(arguments) not in function.arguments:
        place = (
            arguments[max(function.arguments)].start if len(arguments) > max(function.arguments) else end - 1
        )
        count = " or ".join(map(str, function.arguments))
        plural = "" if function.arguments == (1,) else "s"
        given = len(arguments) or "none"
        raise MisuseError(f"`{name}` takes {count} argument{plural}, not {given}", place, function.usage)
    return function.make(text, arguments)


def _refuse(argument: Argument, wanted: str, expected: str = "") -> NoReturn:
    raise MisuseError(f"`{argument.text}` is not {wanted}", argument.start, expected)


def _place(argument: Argument) -> Place:
    node = argument.node
    if not isinstance(node, Place) or (isinstance(node, Path) and node.root == "before" and not node.steps):
        _refuse(argument, "a path", "a path such as customer.name")
    return node


def _string(argument: Argument) -> str:
    node = argument.node
    if not isinstance(node, Constant) or not isinstance(node.value, str):
        _refuse(argument, "a string in quotes", "a string in quotes")
    return node.value


def _value(argument: Argument, wanted: str) -> Value:
    node = argument.node
    if not isinstance(node, Value) or isinstance(node, Constant):
        _refuse(argument, wanted, "a path such as customer.name")
    return node if isinstance(node, JsonPath) or not isinstance(node, Path) else _checked(argument, node)


def _checked(argument: Argument, path: Path) -> Value:
    if path.root == "before" and not path.steps:
        _refuse(argument, "one value", "a path such as before.name")
    return path


def _exists(text: str, arguments: list[Argument]) -> Node:
    node = arguments[0].node
    return Exists(text, node if isinstance(node, Path) else _place(arguments[0]))


def _length(text: str, arguments: list[Argument]) -> Value:
    return Length(text, _value(arguments[0], "a path"))


def _letter_case(case: Literal["lower", "upper"]) -> Callable[[str, list[Argument]], Value]:
    return lambda text, arguments: LetterCase(text, case, _value(arguments[0], "a path"))


def _matches(text: str, arguments: list[Argument]) -> Node:
    place, source = _place(arguments[0]), _string(arguments[1])
    options = _string(arguments[2]) if len(arguments) > 2 else ""
    try:
        return Matches(text, place, pattern(source, options), "matches", source)
    except RegexError as mistake:
        raise MisuseError(str(mistake), arguments[1].start) from mistake


def _finds(words: TextTest, before: str, after: str) -> Callable[[str, list[Argument]], Node]:
    def make(text: str, arguments: list[Argument]) -> Node:
        place, wanted = _place(arguments[0]), _string(arguments[1])
        try:
            found: Pattern = literal(wanted, before, after)
        except RegexError as mistake:
            raise MisuseError(str(mistake), arguments[1].start) from mistake
        return Matches(text, place, found, words, wanted)

    return make


def _changed(text: str, arguments: list[Argument]) -> Node:
    node = arguments[0].node
    if not isinstance(node, Path) or node.root != "document" or not node.is_plain:
        _refuse(arguments[0], "a plain path in the document", "a path such as customer.name")
    return Changed(text, node)


def _became(text: str, arguments: list[Argument]) -> Node:
    argument = arguments[0]
    part: Node
    match argument.node:
        case Path() | JsonPath() as place:
            part = Compare(argument.text, "==", place, Constant("true", True))
        case Constant(value=bool(held)):
            part = Always(argument.text, held)
        case node if isinstance(node, Value):
            _refuse(argument, "a condition", 'a condition such as status == "paid"')
        case node:
            part = node
    for node in walk(part):
        outside = isinstance(node, Path) and node.root != "document"
        if outside or isinstance(node, Changed | Became):
            raise MisuseError(
                f"`{node.text}` cannot stand in became(…), which asks about the document alone",
                argument.start,
            )
    return Became(text, part)


def _date(text: str, arguments: list[Argument]) -> Value:
    return Constant(text, texts.date(_string(arguments[0]), arguments[0].start))


def _duration(text: str, arguments: list[Argument]) -> Value:
    return Constant(text, texts.duration(_string(arguments[0]), arguments[0].start))


def _oid(text: str, arguments: list[Argument]) -> Value:
    given = _string(arguments[0])
    try:
        return Constant(text, ObjectId(given))
    except InvalidId as error:
        raise MisuseError(
            f'"{given}" is not an ObjectId', arguments[0].start, "24 hexadecimal digits"
        ) from error


def _now(text: str, _: list[Argument]) -> Value:
    return Now(text)


FUNCTIONS: dict[str, Function] = {
    "exists": Function((1,), "exists(path)", _exists),
    "len": Function((1,), "len(path)", _length),
    "matches": Function((2, 3), 'matches(path, "regular expression", "i")', _matches),
    "startswith": Function((2,), 'startswith(path, "text")', _finds("startswith", "^", "")),
    "endswith": Function((2,), 'endswith(path, "text")', _finds("endswith", "", "\\z")),
    "contains": Function((2,), 'contains(path, "text")', _finds("contains", "", "")),
    "lower": Function((1,), "lower(path)", _letter_case("lower")),
    "upper": Function((1,), "upper(path)", _letter_case("upper")),
    "changed": Function((1,), "changed(path)", _changed),
    "became": Function((1,), "became(condition)", _became),
    "date": Function((1,), 'date("2026-01-31")', _date),
    "oid": Function((1,), 'oid("65a1b2c3d4e5f60718293a4b")', _oid),
    "now": Function((0,), "now()", _now),
    "duration": Function((1,), 'duration("1h")', _duration),
}
