"""What becomes of the values of SQL: each type as BSON has it, and nothing rounded in silence."""

import ipaddress
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal, DecimalException
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import bson
import pytest
from bson.decimal128 import Decimal128
from hypothesis import example, given
from hypothesis import strategies as st

from mtrigger.sources.row_documents import Column, RowConverter, field_name
from mtrigger.sources.values import Kind, Unreadable, UnstorableError, text_of

BERLIN = ZoneInfo("Europe/Berlin")


def stored(value: Any, kind: Kind = "", zone: ZoneInfo = BERLIN) -> Any:
    document = RowConverter([Column("x", kind)], zone).document([value])
    return bson.decode(bson.encode(document), bson.CodecOptions(tz_aware=True))["x"]


def naive(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001 - as drivers tell them


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (None, "", None),
        (True, "", True),
        (2**63 - 1, "", 2**63 - 1),
        (2**63, "", Decimal128("9223372036854775808")),
        (Decimal("12.50"), "", Decimal128("12.50")),
        (1.5, "", 1.5),
        ("grün", "", "grün"),
        (b"\x00\xff", "", b"\x00\xff"),
        (memoryview(b"ab"), "", b"ab"),
        (UUID(int=5), "", "00000000-0000-0000-0000-000000000005"),
        (ipaddress.ip_address("10.0.0.1"), "", "10.0.0.1"),
        (time(10, 30), "", "10:30:00"),
        (timedelta(days=1, hours=2, seconds=3.5), "", "P1DT2H0M3.5S"),
        (-timedelta(seconds=90), "", "-P0DT0H1M30S"),
        (timedelta(hours=100, seconds=1.5), "clock", "100:00:01.500000"),
        (-timedelta(seconds=90), "clock", "-00:01:30"),
        (date(2026, 7, 1), "day", datetime(2026, 7, 1, tzinfo=UTC)),
        (naive(2026, 7, 1, 12), "local time", datetime(2026, 7, 1, 10, tzinfo=UTC)),
        (naive(2026, 1, 1, 12), "local time", datetime(2026, 1, 1, 11, tzinfo=UTC)),
        (naive(2026, 7, 1, 12), "utc time", datetime(2026, 7, 1, 12, tzinfo=UTC)),
        (datetime(2026, 7, 1, tzinfo=timezone(timedelta(hours=-5))), "", datetime(2026, 7, 1, 5, tzinfo=UTC)),
        ("2026-07-01T12:00:00Z", "local time", datetime(2026, 7, 1, 12, tzinfo=UTC)),
        ("2026-07-01 12:00", "local time", datetime(2026, 7, 1, 10, tzinfo=UTC)),
        (1782900000, "local time", 1782900000),
        ("2026-07-01", "day", datetime(2026, 7, 1, tzinfo=UTC)),
        ('{"a": [1, 9223372036854775808]}', "json", {"a": [1, Decimal128("9223372036854775808")]}),
        ({"a": [Decimal("1.5"), (1, 2)]}, "", {"a": [Decimal128("1.5"), [1, 2]]}),
        (b"\x01", "bits", True),
        (b"\x01\x00", "bits", 256),
        (1, "truth", True),
        (7, "truth", 7),
        (12.5, "number", Decimal128("12.5")),
        (3, "number", Decimal128("3")),
    ],
)
def test_a_value_becomes_what_bson_has_for_it(value: Any, kind: Kind, expected: Any) -> None:
    found = stored(value, kind)
    assert (found, type(found) is bool) == (expected, type(expected) is bool)


@pytest.mark.parametrize(
    ("value", "kind", "why"),
    [
        (Decimal("1" * 35), "", "35 digits"),
        (Decimal("1e7000"), "", "6144"),
        (Unreadable("infinity"), "", "'infinity' is not within the years 1 to 9999"),
        ([Unreadable("infinity")], "", "'infinity'"),
        ("0000-00-00", "day", "'0000-00-00' is not a day"),
        ("0000-00-00 00:00:00", "utc time", "'0000-00-00 00:00:00' is not a time"),
        ("soon", "local time", "'soon' is not a time"),
        (naive(1, 1, 1), "local time", "MongoDB does not hold"),
        (naive(2026, 1, 1), "unknown time", "SYS_EXTRACT_UTC"),
        ("\ud800", "", "not valid Unicode"),
        ({"a": "\ud800"}, "", "not valid Unicode"),
        ({"a\0b": 1}, "", "NUL"),
        ("{", "json", "cannot be read"),
        ("[" * 100_000, "json", "nested too deeply"),
        ("[" * 150 + "]" * 150, "json", "nested deeper"),
        ("x" * 16_000_000, "", "leave its largest columns out"),
        ({"a": ["x" * 1000] * 16_000}, "", "leave its largest columns out"),
    ],
)
def test_what_bson_does_not_hold_is_told_with_its_column(value: Any, kind: Kind, why: str) -> None:
    with pytest.raises(UnstorableError, match=f"^(column `x`|the row has 16,).*{why}"):
        stored(value, kind)


@given(st.decimals())
@example(Decimal("-0.00"))
@example(Decimal("9" * 34))
@example(Decimal("-" + "9" * 17 + "." + "9" * 16))
@example(Decimal("1E+3"))
@example(Decimal("0E-10"))
def test_decimals_are_those_of_the_driver(value: Decimal) -> None:
    """The quick way gives what the library's own does, bit for bit."""
    try:
        expected = Decimal128(value)
    except DecimalException:
        with pytest.raises(UnstorableError):
            stored(value)
    else:
        assert stored(value).bid == expected.bid


@pytest.mark.parametrize(
    ("column", "field"), [("amount", "amount"), ("a.b", "a_b"), ("$set", "_set"), ("a$b", "a$b")]
)
def test_no_name_of_a_column_is_a_path_or_an_operator(column: str, field: str) -> None:
    assert field_name(column) == field


@pytest.mark.parametrize(
    ("value", "text"),
    [(b"abc", "(3 bytes)"), ("\ud800", r"\ud800"), ("x" * 12, "xxxxxxxxxx… (12 characters)"), (None, "None")],
)
def test_any_value_can_be_shown(value: Any, text: str) -> None:
    assert text_of(value, 10) == text
