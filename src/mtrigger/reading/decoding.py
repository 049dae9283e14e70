"""BSON that Python cannot hold: decoded as far as it goes, and what is wrong said in words.

MongoDB stores values that a driver refuses: a binary value of the old kind whose inner length is wrong, or,
with options of the URI, a UUID that is not 16 bytes long or a year beyond 9999. The promise: one such value
costs itself and nothing around it. What can be read is read; the bytes are kept by whoever called.

Source: the BSON specification, version 1.1 (bsonspec.org).
"""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import bson
from bson.codec_options import CodecOptions
from bson.errors import BSONError

_NAMED_FLAWS = 3

_DOCUMENT, _ARRAY, _REGEX = 0x03, 0x04, 0x0B
_FIXED = {
    0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16,
    0x7F: 0, 0xFF: 0,
}  # fmt: skip
"""Bytes of the values of one size, by type."""
_BESIDE_LENGTH = {0x02: 4, 0x03: 0, 0x04: 0, 0x05: 5, 0x0C: 16, 0x0D: 4, 0x0E: 4, 0x0F: 0}
"""Bytes of the values that begin with a length, beside what that length counts, by type."""

Options = CodecOptions[dict[str, Any]]


class Decoded(NamedTuple):
    """What could be read of a document, and what not: "" when all could."""

    document: dict[str, Any]
    flaw: str


class _Element(NamedTuple):
    kind: int
    name: str
    value: bytes
    whole: bytes


def decoded(raw: bytes, options: Options) -> Decoded:
    """The document in `raw`; what cannot be read is left out of it and named by its path, with the reason."""
    try:
        return Decoded(bson.decode(raw, options), "")
    except BSONError:
        flaws: list[str] = []
        document = _readable(raw, options, "", flaws)
        more = len(flaws) - _NAMED_FLAWS
        named = "; ".join(flaws[:_NAMED_FLAWS]) + (f"; and {more} more" if more > 0 else "")
        return Decoded(document, named or "the document as a whole cannot be read")


def _readable(raw: bytes, options: Options, path: str, flaws: list[str]) -> dict[str, Any]:
    """The fields of one document that can be read; the others are appended to `flaws`."""
    fields: dict[str, Any] = {}
    try:
        for element in _elements(raw):
            place = f"{path}{element.name}"
            try:
                fields.update(bson.decode(_alone(element.whole), options))
            except BSONError as error:
                if element.kind not in (_DOCUMENT, _ARRAY):
                    flaws.append(f"{place}: {_reason(error)}")
                    continue
                inner = _readable(element.value, options, f"{place}.", flaws)
                fields[element.name] = inner if element.kind == _DOCUMENT else list(inner.values())
    except (struct.error, ValueError, IndexError, KeyError):
        flaws.append(f"{path.rstrip('.') or 'the document'}: its bytes end or go on where they should not")
    return fields


def _elements(raw: bytes) -> Iterator[_Element]:
    """The elements of a document, one after the other. Raises what slicing damaged bytes raises."""
    position, end = 4, len(raw) - 1
    while position < end:
        start, kind = position, raw[position]
        name_end = raw.index(0, position + 1)
        position = name_end + 1 + _length(kind, raw, name_end + 1)
        if position > end:
            raise ValueError("an element reaches beyond its document")
        name = raw[start + 1 : name_end].decode("utf-8", "replace")
        yield _Element(kind, name, raw[name_end + 1 : position], raw[start:position])


def _length(kind: int, raw: bytes, at: int) -> int:
    """How many bytes the value of this type takes that begins at `at`."""
    if kind == _REGEX:
        return raw.index(0, raw.index(0, at) + 1) + 1 - at
    if kind in _FIXED:
        return _FIXED[kind]
    beside = _BESIDE_LENGTH[kind]
    (length,) = struct.unpack_from("<i", raw, at)
    if length < 0:
        raise ValueError("a negative length")
    return int(length) + beside


def _alone(element: bytes) -> bytes:
    """A document that has only this element."""
    return struct.pack("<i", len(element) + 5) + element + b"\0"


def _reason(error: BSONError) -> str:
    """The driver's reason without its advice."""
    return str(error).partition(" (Consider")[0]
