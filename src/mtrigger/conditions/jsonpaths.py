"""JSONPath in conditions, read by jsonpath-ng.

A path of names, indexes and `[*]` becomes steps of our own, with MongoDB's meaning. Anything else (`$..x`,
slices, unions, filters) stays a search that jsonpath-ng runs over the document; it has no translation to a
filter.
"""

import functools
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)


class JsonPathError(Exception):
    """A JSONPath that cannot be used here; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Search:
    """A JSONPath that jsonpath-ng runs."""

    text: str

    def found_in(self, document: Mapping[str, Any]) -> list[Any]:
        """The values it finds; none if the document is more than jsonpath-ng can stand."""
        try:
            return [found.value for found in _parsed(self.text).find(document)]
        except Exception as error:  # noqa: BLE001 - foreign code, hostile documents; the stream must go on
            logger.warning("the JSONPath %s could not be searched: %s", self.text, type(error).__name__)
            return []


@functools.lru_cache(maxsize=1024)
def _parsed(text: str) -> Any:  # jsonpath-ng's own tree; naming its type would load the library
    from jsonpath_ng.ext.parser import parse

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what jsonpath-ng is about to give up is refused today
        return parse(text)


class EachElement:
    """The step `[*]` in the result of `read`."""


def read(text: str) -> list[str | type[EachElement]] | Search:
    """The steps of a simple JSONPath, or a search. Raises JsonPathError."""
    for sign, name in (("`", "an operator in backquotes"), ("=~", "the operator =~")):
        if sign in text:
            raise JsonPathError(f"{name} is not supported in a JSONPath")
    if text.count("..") > 1:
        raise JsonPathError("a JSONPath may search all levels (`..`) once")
    try:
        tree = _parsed(text)
    except Exception as error:  # jsonpath-ng raises several kinds, some of them bare Exception
        raise JsonPathError(f"this JSONPath cannot be read ({error})") from error
    steps = None if ".*" in text else _steps(tree)
    return Search(text) if steps is None else steps


def _steps(tree: Any) -> list[str | type[EachElement]] | None:
    """The steps, or None if there is more to it than names, indexes and `[*]`."""
    from jsonpath_ng import Child, Fields, Index, Root, Slice

    reversed_steps: list[str | type[EachElement]] = []
    while isinstance(tree, Child):
        match tree.right:
            case Fields(fields=(str(name),)) if name != "*":
                reversed_steps.append(name)
            case Index(indices=(int(index),)) if index >= 0:
                reversed_steps.append(str(index))
            case Slice(start=None, end=None, step=None):  # `[*]` up to jsonpath-ng 1.7
                reversed_steps.append(EachElement)
            case wildcard if type(wildcard).__name__ == "Wildcard":  # and in later ones
                reversed_steps.append(EachElement)
            case _:
                return None
        tree = tree.left
    return reversed_steps[::-1] if isinstance(tree, Root) else None
