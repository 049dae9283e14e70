"""Rows of a result as documents.

Promise: a row whose values cannot be held is rejected by itself, with the column and what to do, and stops
nothing; no name of a column can mean anything else to MongoDB.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import DecimalException
from typing import Any
from zoneinfo import ZoneInfo

import bson
from bson.errors import BSONError

from mtrigger.sources.values import Kind, UnstorableError, by_type, converter, text_of

LARGEST_ROW = 15_000_000
"""Bytes of a row as a document. MongoDB takes 16 MB; the rest is for what is stored around it."""

_LARGE = 500_000

_UNTOLD = (UnicodeEncodeError, DecimalException, OverflowError, BSONError)
"""What the libraries underneath raise without knowing of columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a result."""

    name: str
    kind: Kind = ""


class RowConverter:
    """Makes documents of rows of one result; `zone` is where times without a zone are."""

    def __init__(self, columns: Sequence[Column], zone: ZoneInfo) -> None:
        self._names = [field_name(column.name) for column in columns]
        self._converts = [converter(column.kind, zone) for column in columns]

    def document(self, values: Sequence[Any]) -> dict[str, Any]:
        """The fields of one row. Raises UnstorableError, which names the column."""
        try:
            found = {
                name: value
                if (convert := special if special is not None else by_type(type(value))) is None
                else convert(value)
                for name, special, value in zip(self._names, self._converts, values, strict=True)
            }
            if _may_be_large(found):
                _check_size(found)
        except (UnstorableError, *_UNTOLD) as error:
            raise self._told(values, error) from error
        return found

    def value(self, position: int, value: Any) -> Any:
        """One value, by the column it stands in. Raises UnstorableError."""
        special = self._converts[position]
        convert = special if special is not None else by_type(type(value))
        try:
            return value if convert is None else convert(value)
        except _UNTOLD as error:
            raise UnstorableError(_reason(error)) from error

    def _told(self, values: Sequence[Any], error: Exception) -> UnstorableError:
        for position, (name, value) in enumerate(zip(self._names, values, strict=True)):
            try:
                self.value(position, value)
            except UnstorableError as found:
                return UnstorableError(f"column `{name}`: {found}")
        return UnstorableError(_reason(error))


def field_name(column: str) -> str:
    """The field that a column becomes: in MongoDB's updates a dot would be a path, a leading `$` an
    operator."""
    name = column.replace(".", "_")
    return f"_{name[1:]}" if name.startswith("$") else name


def _may_be_large(found: Mapping[str, Any]) -> bool:
    for value in found.values():
        kind = type(value)
        if kind is dict or kind is list or ((kind is str or kind is bytes) and len(value) > _LARGE):
            return True
    return False


def _check_size(found: Mapping[str, Any]) -> None:
    size = len(bson.encode(found))
    if size > LARGEST_ROW:
        raise UnstorableError(
            f"the row has {size:,} bytes, and MongoDB holds 16 MB: leave its largest columns out "
            "with a `query`"
        )


def _reason(error: Exception) -> str:
    if isinstance(error, UnstorableError):
        return str(error)
    return f"a value that MongoDB does not hold ({text_of(error, 100)})"
