"""Rows of a table as they are handed out: each with its key and its version, or rejected with the reason.

Promise: no row disappears: what cannot be stored is a RejectedRow.
"""

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from mtrigger.sources.pages import RejectedRow, Row, key_text
from mtrigger.sources.portions import Raw
from mtrigger.sources.row_documents import RowConverter, field_name
from mtrigger.sources.table_shapes import Shape
from mtrigger.sources.values import UnstorableError, text_of

_NOT_DELETED = frozenset({"", "0", "f", "false", "n", "no"})
"""What a column says in text, where it cannot say false."""

_UTC = ZoneInfo("UTC")


class TableRows:
    """Reads rows of tables of this shape; times without a zone are in `zone`."""

    def __init__(self, shape: Shape, zone: ZoneInfo) -> None:
        names = [column.name for column in shape.columns]
        self._shape = shape
        self._converter = RowConverter(shape.columns, zone)
        self._key_columns = [names.index(name) for name in shape.key]
        self._key_fields = [field_name(name) for name in shape.key]
        self._deleted = names.index(shape.deleted) if shape.deleted else None

    def read(self, portion: Sequence[Raw], positions: int) -> tuple[list[Row], list[RejectedRow]]:
        """The rows of a result whose first columns are `positions`."""
        rows: list[Row] = []
        rejected: list[RejectedRow] = []
        for raw in portion:
            values = raw[positions:] if positions else raw
            try:
                rows.append(self._row(raw, values))
            except UnstorableError as error:
                rejected.append(self._rejected(values, str(error)))
        return rows, rejected

    def _row(self, raw: Raw, values: Raw) -> Row:
        version = self._version(raw)
        document = self._converter.document(values)
        key = self._key(document)
        document.pop("_id", None)
        deleted = self._deleted is not None and _says_deleted(values[self._deleted])
        return Row(key, document, version, deleted)

    def _version(self, raw: Raw) -> str:
        if self._shape.time is not None:
            time = self._shape.time.kept(raw[0])
            if time is None:
                names = " and ".join(self._shape.times)
                raise UnstorableError(f"column `{names}`: '{text_of(raw[0], 50)}' is not a time")
            return time
        return str(raw[0]) if self._shape.number else ""

    def _key(self, document: dict[str, Any]) -> Any:
        key = {field: document[field] for field in self._key_fields}
        for field, value in key.items():
            if value is None or type(value) is list:
                what = "null" if value is None else "an array"
                raise UnstorableError(f"column `{field}`: {what} cannot be the key of a document")
        return key if len(key) > 1 else key.popitem()[1]

    def _rejected(self, values: Raw, why: str) -> RejectedRow:
        texts = {
            column.name: text_of(value) for column, value in zip(self._shape.columns, values, strict=True)
        }
        return RejectedRow(self._key_text(values), texts, why)

    def _key_text(self, values: Raw) -> str:
        """The key, of a row whose other columns may be the trouble."""
        try:
            found = {
                field: self._converter.value(column, values[column])
                for field, column in zip(self._key_fields, self._key_columns, strict=True)
            }
            return key_text(self._key(found))
        except (UnstorableError, TypeError):
            return ", ".join(text_of(values[column], 200) for column in self._key_columns)


def _says_deleted(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() not in _NOT_DELETED
    if isinstance(value, bytes):  # MySQL's BIT
        return any(value)
    return bool(value)
