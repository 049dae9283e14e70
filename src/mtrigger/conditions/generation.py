"""Conditions as generated Python.

A tree becomes one Python expression. Values of plain types (str, int, float, bool) at plain paths are
compared in place; whenever something else turns up, the expression calls the exact function of the node from
`evaluation`. The text that is compiled is made of fixed pieces and numbered names only: names of fields,
literals and functions are constants that the expression refers to by number, so nothing a user writes is ever
compiled.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from bson.int64 import Int64

from mtrigger.conditions.evaluation import predicate
from mtrigger.conditions.scope import scope
from mtrigger.conditions.syntax import (
    Always,
    And,
    Compare,
    Constant,
    Exists,
    Node,
    Not,
    OneOf,
    Or,
    Path,
    Place,
)
from mtrigger.conditions.values import MISSING, is_nan
from mtrigger.events import ChangeEvent

Holds = Callable[[ChangeEvent, datetime], bool]

_HEAD = """\
def holds(event, now):
    document = event.document
    if document is None:
        document = event.key
    return {expression}
"""


def generate(tree: Node) -> Holds:
    """Compile the tree into a function of (event, now) that never raises."""
    writer = _Writer()
    text = _HEAD.format(expression=writer.write(tree))
    found: dict[str, Any] = {}
    code = compile(text, "<condition>", "exec")
    exec(code, writer.names, found)  # noqa: S102 - made of our own pieces only, see above
    holds: Holds = found["holds"]
    return holds


class _Writer:
    """Writes expressions and keeps what they refer to."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {
            "__builtins__": {},
            "bool": bool,
            "dict": dict,
            "float": float,
            "int": int,
            "long": Int64,
            "missing": MISSING,
            "scope": scope,
            "str": str,
            "type": type,
        }
        self.variables = 0

    def constant(self, value: Any) -> str:
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def variable(self) -> str:
        self.variables += 1
        return f"v{self.variables}"

    def write(self, node: Node) -> str:
        match node:
            case Always(held=held):
                return "True" if held else "False"
            case And(parts=parts):
                return "(" + " and ".join(map(self.write, parts)) + ")" if parts else "True"
            case Or(parts=parts):
                return "(" + " or ".join(map(self.write, parts)) + ")" if parts else "False"
            case Not(part=part):
                return f"(not {self.write(part)})"
            case Compare(operator=operator, place=place, operand=Constant(value=value)):
                test = _plain_test(value, operator)
                return self.guarded(node, place, *test, self.constant(value)) if test else self.exact(node)
            case OneOf(place=place, choices=choices, patterns=()):
                return self.membership(node, place, choices)
            case Exists(place=Path(root="document", steps=(str(name),))):
                return f"({self.constant(name)} in document)"
            case _:
                return self.exact(node)

    def exact(self, node: Node) -> str:
        return f"{self.constant(predicate(node))}(scope(event, now))"

    def membership(self, node: Node, place: Place, choices: tuple[Any, ...]) -> str:
        strings = frozenset(choice for choice in choices if type(choice) is str)
        if len(strings) < len(choices):
            return self.exact(node)
        return self.guarded(node, place, ("str",), "in", self.constant(strings))

    def guarded(self, node: Node, place: Place, types: tuple[str, ...], operator: str, constant: str) -> str:
        """The comparison in place if the value is of one of `types`, no if it is missing, else the exact
        function. (No literal that comes here is null, so nothing missing is equal to it.)"""
        exact = self.exact(node)
        if not isinstance(place, Path) or place.root != "document" or not place.is_plain:
            return exact
        *above, last = (self.constant(name) for name in place.names)
        container, ways = "document", []
        for name in above:
            inner = self.variable()
            ways.append(f"type({inner} := {container}.get({name})) is dict")
            container = inner
        value = self.variable()
        first, *others = types
        is_plain = f"type({value} := {container}.get({last}, missing)) is {first}"
        is_plain += "".join(f" or type({value}) is {other}" for other in others)
        compared = f"({value} {operator} {constant} if {is_plain} else {value} is not missing and {exact})"
        return f"({compared} if {' and '.join(ways)} else {exact})" if ways else compared


def _plain_test(literal: Any, operator: str) -> tuple[tuple[str, ...], str] | None:
    """The types that Python compares with `literal` as MongoDB does, and the operator; None if there are
    none."""
    if type(literal) is str:
        return ("str",), operator
    if type(literal) is bool:
        return ("bool",), operator
    if type(literal) in (int, float, Int64) and not is_nan(literal):
        return ("float", "int", "long"), operator
    return None
