"""Paths of rules that consume a topic: what is written about a message, and where that lies in its document.

A bare name and `body.…` are read from the body, `message.…` from the message itself. Promise: what a path
came to can be shown again as a path that means the same (`as_written`). Pure.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

BODY = "body"
MESSAGE_FIELDS = ("key", "id", "time", "headers", "offset", "source", BODY)
_MAPPINGS = ("headers", "source", BODY, "key", "id")
"""The fields that may have something below them."""

_STORED = {"id": "_id"}
_TOLD = {stored: told for told, stored in _STORED.items()}


def in_message(names: tuple[str, ...]) -> tuple[str, ...]:
    """Where the path `names`, of a rule that consumes a topic, lies in a message's document.

    Raises ValueError with a sentence for what no message has.
    """
    first, *rest = names
    if first == BODY:
        return names
    if first != "message":
        return (BODY, *names)
    facts = ", ".join(f"message.{name}" for name in MESSAGE_FIELDS)
    if not rest:
        raise ValueError(f"`message` is more than one value: write one of {facts}")
    name = rest[0]
    if name not in MESSAGE_FIELDS:
        close = get_close_matches(name, MESSAGE_FIELDS, 1)
        hint = f"did you mean `message.{close[0]}`?" if close else f"there is {facts}"
        raise ValueError(f"a message has no `{name}`; {hint}")
    if len(rest) > 1 and name not in _MAPPINGS:
        raise ValueError(f"`message.{name}` has nothing below it")
    return (_STORED.get(name, name), *rest[1:])


def as_written(path: str) -> str:
    """The dotted `path` into a message's document as a rule's file may say it."""
    first, _, rest = path.partition(".")
    if first == BODY:
        return path if rest.partition(".")[0] in ("", BODY, "message") else rest
    told = _TOLD.get(first, first)
    return f"message.{told}.{rest}" if rest else f"message.{told}"


def with_written_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values`, which are known by paths into a message's document, by what a rule's file may say."""
    return {as_written(path): value for path, value in values.items()}
