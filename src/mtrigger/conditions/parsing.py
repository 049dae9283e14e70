"""Text to syntax tree, with mistakes told in words: line, column and what was expected.

The parser is LALR (no recursion, whatever the input), built once from grammar.lark. Length, nesting and
number of nodes are bounded, so that everything that walks a tree may recurse.
"""

import functools
import re
from importlib.resources import files
from typing import Any

from mtrigger.conditions.about import About
from mtrigger.conditions.building import Builder
from mtrigger.conditions.hints import expectation, hint
from mtrigger.conditions.misuse import MisuseError
from mtrigger.conditions.syntax import Node, Value
from mtrigger.conditions.walking import children
from mtrigger.errors import ConditionError

MOST_CHARACTERS = 10_000
MOST_NESTING = 50
MOST_NODES = 1_000
_BRACKETS = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[(\[]|[)\]]""", re.DOTALL)


def parse_tree(text: str, about: About) -> Node:
    """The tree of an expression, whose names are `about` something. Raises ConditionError."""
    try:
        _check_text(text)
        node = _parsed(text, about)
        check_size(node)
    except MisuseError as misuse:
        raise _located(text, misuse) from misuse.__cause__
    return node


def _located(text: str, misuse: MisuseError) -> ConditionError:
    line = text.count("\n", 0, misuse.place) + 1
    column = misuse.place - (text.rfind("\n", 0, misuse.place) + 1) + 1
    return ConditionError(misuse.message, line, column, misuse.expected)


def _check_text(text: str) -> None:
    if len(text) > MOST_CHARACTERS:
        raise MisuseError(
            f"a condition has at most {MOST_CHARACTERS:,} characters, this has {len(text):,}", 0
        )
    if not text.strip():
        raise MisuseError("the condition is empty", 0, "a condition such as amount > 10000")
    surrogate = re.search(r"[\ud800-\udfff]", text)
    if surrogate:
        raise MisuseError("there is half a character here", surrogate.start())
    depth = 0
    for match in _BRACKETS.finditer(text):
        if match[0] in "([":
            depth += 1
        elif match[0] in ")]":
            depth -= 1
        if depth > MOST_NESTING:
            raise MisuseError(f"a condition is nested at most {MOST_NESTING} deep", match.start())


def check_size(tree: Node) -> None:
    """Raises MisuseError if the tree is too deep or has too many nodes."""
    waiting: list[tuple[Node | Value, int]] = [(tree, 1)]
    count = 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if count > MOST_NODES:
            raise MisuseError(f"a condition has at most {MOST_NODES:,} parts", 0)
        if depth > MOST_NESTING:
            raise MisuseError(f"a condition is nested at most {MOST_NESTING} deep", 0)
        waiting.extend((child, depth + 1) for child in children(node))


@functools.cache
def _grammar() -> Any:  # lark's parser; lark is loaded when the first condition is read
    from lark import Lark

    grammar = files("mtrigger.conditions").joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", keep_all_tokens=True, maybe_placeholders=False)


def _parsed(text: str, about: About) -> Node:
    from lark import Tree
    from lark.exceptions import UnexpectedInput, UnexpectedToken

    parser = _grammar().parse_interactive(text)
    try:
        parser.exhaust_lexer()
        tree = parser.feed_eof()
    except UnexpectedInput as error:
        at_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        place = len(text.rstrip()) if at_end else getattr(error, "pos_in_stream", 0)
        raise MisuseError(hint(text, place), place, expectation(parser.accepts())) from None
    builder = Builder(text, about)
    built: dict[int, Any] = {}
    for subtree in tree.iter_subtrees():  # children come before their parents
        parts = [built[id(child)] if isinstance(child, Tree) else child for child in subtree.children]
        built[id(subtree)] = getattr(builder, subtree.data)(parts)
    found: Node = built[id(tree)]
    return found
