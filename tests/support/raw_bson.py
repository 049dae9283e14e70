"""BSON written by hand: values that no driver would write, and that MongoDB stores all the same.

Source: the BSON specification, version 1.1 (bsonspec.org).
"""

import struct

import bson
from bson.raw_bson import RawBSONDocument


def element(kind: int, name: str, value: bytes) -> bytes:
    """One element of a document."""
    return bytes([kind]) + name.encode() + b"\0" + value


def document(*elements: bytes) -> bytes:
    """A document of `elements`."""
    body = b"".join(elements)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def fields(**values: object) -> bytes:
    """Ordinary fields, as elements."""
    return bson.encode(values)[4:-1]


def binary(subtype: int, value: bytes) -> bytes:
    """The value of a binary element."""
    return struct.pack("<i", len(value)) + bytes([subtype]) + value


def string(value: bytes) -> bytes:
    """The value of a string element, UTF-8 or not."""
    return struct.pack("<i", len(value) + 1) + value + b"\0"


def old_binary(name: str) -> bytes:
    """A binary value of subtype 2 whose inner length is wrong: PyMongo can never decode it."""
    return element(0x05, name, binary(2, struct.pack("<i", 99) + b"abc"))


def short_uuid(name: str) -> bytes:
    """A UUID of three bytes: PyMongo cannot decode it with `uuidRepresentation=standard`."""
    return element(0x05, name, binary(4, b"abc"))


def late_date(name: str) -> bytes:
    """A date in the year 146140482: PyMongo cannot decode it with `datetime_conversion` "datetime"."""
    return element(0x09, name, struct.pack("<q", 2**62))


def bad_text(name: str) -> bytes:
    """A string that is no UTF-8."""
    return element(0x02, name, string(b"A\xff\xfeB"))


def nested(levels: int) -> dict[str, object]:
    """A document with `levels` levels, itself the first."""
    inner: dict[str, object] = {"level": levels}
    for level in range(levels - 1, 0, -1):
        inner = {"level": level, "inner": inner}
    return inner


def raw(*elements: bytes) -> RawBSONDocument:
    """A document of `elements` that the driver sends as it is."""
    return RawBSONDocument(document(*elements))
