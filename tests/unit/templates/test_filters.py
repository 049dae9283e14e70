"""The filters mails need: money, dates, links and JSON, the same on every machine."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.json_util import JSONOptions, loads
from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.templates import RenderError, Templates

AWARE = JSONOptions(tz_aware=True, tzinfo=UTC)

templates = Templates(None)


def filtered(value: Any, expression: str) -> str:
    return templates.text("{{ document.x | " + expression + " }}").render({"document": {"x": value}})


@pytest.mark.parametrize(
    ("value", "expression", "expected"),
    [
        (12345.5, 'money("USD")', "$12,345.50"),
        (12345.5, "money", "12,345.50"),
        (Decimal128("15000.505"), 'money("EUR")', "€15,000.50"),
        (Decimal128("15000.515"), 'money("EUR")', "€15,000.52"),
        (0.125, "money", "0.12"),
        (2.675, "money", "2.68"),
        (Int64(2**40), 'money("KRW")', "₩1,099,511,627,776"),
        (1234.5, 'money("KWD")', "KWD 1,234.500"),
        (1234.5, 'money("CHF")', "CHF 1,234.50"),
        (1234.5, 'money("usd")', "$1,234.50"),
        (1234.5, 'money("CHF", 0)', "CHF 1,234"),
        (-5, 'money("USD")', "-$5.00"),
        (-0.001, 'money("USD")', "$0.00"),
        (0, "money", "0.00"),
        ("20000", "money", "20,000.00"),
        ([1, Decimal128("20000")], 'money("USD")', "$1.00, $20,000.00"),
        (["x", 20000], "money", "x, 20,000.00"),
        (float("nan"), "money", "NaN"),
        (float("-inf"), 'money("USD")', "$Infinity"),
        (Decimal128("1E+6000"), "money", "1.00E+6000"),
        (Decimal128("1E-6000"), "money", "1.00E-6000"),
        (
            Decimal128("9999999999999999999999999999999999"),
            "money",
            "9,999,999,999,999,999,999,999,999,999,999,999.00",
        ),
    ],
)
def test_money_reads_as_people_write_it(value: Any, expression: str, expected: str) -> None:
    """Grouped, with the currency's decimals, rounded half to even on the exact number."""
    assert filtered(value, expression) == expected


@pytest.mark.parametrize("value", [None, True, "a lot", {"amount": 1}, datetime(2026, 1, 1, tzinfo=UTC)])
def test_money_of_what_is_no_number_is_an_error(value: Any) -> None:
    """Rather than a mail that says `None`."""
    with pytest.raises(RenderError, match="money needs a number"):
        filtered(value, "money")


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=4))
def test_money_rounds_like_a_bank(value: Decimal) -> None:
    """Half to even, at two decimals, whatever the number."""
    shown = Decimal(filtered(Decimal128(value), "money").replace(",", ""))
    assert shown == value.quantize(Decimal("0.01"), rounding="ROUND_HALF_EVEN")


MOMENT = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expression", "expected"),
    [
        (MOMENT, "datetime", "2026-11-22 15:30"),
        (MOMENT.replace(tzinfo=None), "datetime", "2026-11-22 15:30"),
        (MOMENT.astimezone(timezone(timedelta(hours=5))), "datetime", "2026-11-22 15:30"),
        (MOMENT, 'datetime("%d %b %Y %H:%M %Z", tz="Asia/Seoul")', "23 Nov 2026 00:30 KST"),
        (MOMENT, 'datetime("%A", "America/New_York")', "Sunday"),
        ("2026-11-22T15:30:00+09:00", "datetime", "2026-11-22 06:30"),
        (Timestamp(0, 1), "datetime", "1970-01-01 00:00"),
        (ObjectId("000000000000000000000000"), "datetime", "1970-01-01 00:00"),
    ],
)
def test_dates_are_shown_in_the_zone_asked_for(value: Any, expression: str, expected: str) -> None:
    """UTC unless a zone is named; naive dates are UTC, as BSON's are."""
    assert filtered(value, expression) == expected


@pytest.mark.parametrize(
    ("value", "expression", "message"),
    [
        (MOMENT, 'datetime(tz="Asia/Soul")', "there is no time zone 'Asia/Soul'; did you mean 'Asia/Seoul'?"),
        (MOMENT, 'datetime(tz="../../etc/passwd")', "there is no time zone"),
        ("soon", "datetime", "datetime needs a date, not text"),
        (None, "datetime", "datetime needs a date, not null"),
    ],
)
def test_what_is_no_date_or_zone_is_said(value: Any, expression: str, message: str) -> None:
    """With the likely zone."""
    with pytest.raises(RenderError, match=r"time zone|needs a date") as caught:
        filtered(value, expression)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://shop.example/orders/1?a=b&c=d#e", "https://shop.example/orders/1?a=b&c=d#e"),
        ("mailto:sales@example.com", "mailto:sales@example.com"),
        ("HTTP://EXAMPLE.COM/", "HTTP://EXAMPLE.COM/"),
        ('https://x.example/a b"<>', "https://x.example/a%20b%22%3C%3E"),
        ("https://x.example/ü", "https://x.example/%C3%BC"),
        ("javascript:alert(1)", ""),
        (" JaVaScRiPt:alert(1)", ""),
        ("java\nscript:alert(1)", ""),
        ("data:text/html,x", ""),
        ("//x.example/", ""),
        ("/orders/1", ""),
        ("https:", ""),
        ("https://[::1", ""),
        (None, ""),
        (5, ""),
        ("https://x.example/\ud800", ""),
    ],
)
def test_only_whole_web_and_mail_addresses_are_links(value: Any, expected: str) -> None:
    """Anything else becomes an empty text, which leads nowhere."""
    assert filtered(value, "link") == expected


def test_json_is_relaxed_extended_json() -> None:
    """It reads back as the same document, BSON types and all."""
    document = {"_id": ObjectId(), "n": Decimal128("1.50"), "when": MOMENT, "list": [1, None, "ü<"]}
    shown = templates.text("{{ document | json }}").render({"document": document})
    assert loads(shown, json_options=AWARE) == document
    assert "ü" in shown
    escaped = templates.html("{{ document | tojson }}").render({"document": document})
    assert "<" not in escaped
    assert loads(escaped, json_options=AWARE) == document
