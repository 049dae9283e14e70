"""BSON that Python cannot hold: what can be read is read, the rest is named."""

import struct
from typing import Any

import bson
import pytest
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.reading.decoding import decoded
from support.raw_bson import (
    bad_text,
    binary,
    document,
    element,
    fields,
    late_date,
    nested,
    old_binary,
    short_uuid,
    string,
)

OURS: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)
STRICT: CodecOptions[dict[str, Any]] = CodecOptions(
    uuid_representation=UuidRepresentation.STANDARD, datetime_conversion=DatetimeConversion.DATETIME
)

EVERY_TYPE = document(
    element(0x01, "double", struct.pack("<d", 1.5)),
    element(0x02, "string", string(b"text")),
    element(0x03, "document", document(fields(a=1))),
    element(0x04, "array", document(fields(**{"0": 1, "1": 2}))),
    element(0x05, "binary", binary(0, b"abc")),
    element(0x06, "undefined", b""),
    element(0x07, "object-id", b"0123456789ab"),
    element(0x08, "boolean", b"\1"),
    element(0x09, "date", struct.pack("<q", 1000)),
    element(0x0A, "null", b""),
    element(0x0B, "regex", b"a.c\0i\0"),
    element(0x0C, "pointer", string(b"shop.orders") + b"0123456789ab"),
    element(0x0D, "code", string(b"f()")),
    element(0x0E, "symbol", string(b"sym")),
    element(0x0F, "scoped", struct.pack("<i", 4 + 8 + 5) + string(b"g()") + document()),
    element(0x10, "int", struct.pack("<i", 7)),
    element(0x11, "timestamp", struct.pack("<II", 1, 2)),
    element(0x12, "long", struct.pack("<q", 2**40)),
    element(0x13, "decimal", bytes(16)),
    element(0x7F, "max", b""),
    element(0xFF, "min", b""),
)


def test_what_can_be_read_is_read_as_the_driver_reads_it() -> None:
    """No flaw, and the same document."""
    assert decoded(EVERY_TYPE, OURS) == (bson.decode(EVERY_TYPE, OURS), "")


def test_every_type_beside_a_bad_value_is_kept() -> None:
    """Only the bad value is missing, wherever it stands."""
    whole = bson.decode(EVERY_TYPE, OURS)
    body = EVERY_TYPE[4:-1]
    for raw in (document(old_binary("bad"), body), document(body, old_binary("bad"))):
        assert decoded(raw, OURS) == (whole, "bad: invalid length or type code")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (old_binary("x"), "invalid length or type code"),
        (short_uuid("x"), "cannot decode a uuid from a 3-byte payload, expected 16"),
        (late_date("x"), "year 146140482 is out of range"),
        (bad_text("x"), "'utf-8' codec can't decode byte 0xff in position 1: invalid start byte"),
    ],
    ids=["old binary", "uuid", "date", "text"],
)
def test_the_reason_is_said_without_the_drivers_advice(bad: bytes, reason: str) -> None:
    """Each of the cases that MongoDB stores and strict options refuse."""
    assert decoded(document(fields(a=1), bad, fields(b=2)), STRICT) == ({"a": 1, "b": 2}, f"x: {reason}")


def test_dates_beyond_year_9999_and_text_that_is_no_utf8_are_no_flaw_with_our_options() -> None:
    """They are decoded, not dropped."""
    found = decoded(document(late_date("when"), bad_text("name")), OURS)
    assert found.flaw == ""
    assert found.document["name"] == "A��B"
    assert int(found.document["when"]) == 2**62


def test_a_bad_value_deep_inside_is_named_by_its_path() -> None:
    """Arrays by position; the rest of each level is kept."""
    items = document(
        element(0x03, "0", document(fields(sku="a"))),
        element(0x03, "1", document(fields(sku="b"), old_binary("picture"))),
    )
    raw = document(fields(_id=1), element(0x04, "items", items), fields(amount=5))
    assert decoded(raw, OURS) == (
        {"_id": 1, "items": [{"sku": "a"}, {"sku": "b"}], "amount": 5},
        "items.1.picture: invalid length or type code",
    )


def test_of_many_bad_values_the_first_three_are_named() -> None:
    """An error must stay short."""
    flaw = decoded(document(*(old_binary(name) for name in "abcde")), OURS).flaw
    assert [part.partition(":")[0].strip() for part in flaw.split(";")] == ["a", "b", "c", "and 2 more"]


def test_a_document_as_deep_as_mongodb_stores_is_read_beside_a_bad_value() -> None:
    """180 levels and the event around them."""
    raw = document(element(0x03, "fullDocument", bson.encode(nested(180))), old_binary("bad"))
    assert decoded(raw, OURS).document == {"fullDocument": nested(180)}


@given(st.binary(max_size=300), st.integers(0, 300), st.integers(0, 255))
def test_no_bytes_whatever_stop_it(noise: bytes, at: int, value: int) -> None:
    """Random bytes, and an ordinary document with one byte changed: something readable or a flaw."""
    changed = bytearray(EVERY_TYPE)
    changed[at % len(changed)] = value
    for raw in (noise, bytes(changed), document(noise)):
        found = decoded(raw, OURS)
        if found.flaw == "":
            assert found.document.keys() == bson.decode(raw, OURS).keys()
