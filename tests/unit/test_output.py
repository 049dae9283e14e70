"""What the commands print: aligned, readable, and never a command to the terminal."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from bson.decimal128 import Decimal128
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.cli.output import counted, iso, one_line, pretty, printable, relaxed, span, table


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0s"),
        (0, "0s"),
        (0.9, "0s"),
        (59, "59s"),
        (60, "1m"),
        (125, "2m 5s"),
        (3600, "1h"),
        (3605, "1h 5s"),
        (7260, "2h 1m"),
        (90_061, "1d 1h"),
        (86_400 * 400, "400d"),
    ],
)
def test_a_stretch_of_time_is_shown_in_two_units(seconds: float, shown: str) -> None:
    """The two largest that are not nothing."""
    assert span(seconds) == shown


def test_columns_are_aligned_by_the_cells_of_a_terminal() -> None:
    """A wide character takes two."""
    lines = table(["NAME", "N"], [["서울", "1"], ["a", "22"]]).splitlines()
    assert lines == ["NAME  N", "서울  1", "a     22"]


def test_a_cell_stays_on_its_line() -> None:
    """Line ends become blanks, controls escapes."""
    assert table(["A", "B"], [["x\ny", "\x1b[0m"]]).splitlines()[1] == "x y  \\u001b[0m"


@pytest.mark.parametrize("character", ["\x1b", "\x07", "\x7f", "\x9b", "\r", "\u202e", "\u2067", "\ud800"])
def test_what_steers_a_terminal_is_shown_as_an_escape(character: str) -> None:
    """Controls, half characters, and marks that turn the direction of writing."""
    assert printable(f"a{character}b") == f"a\\u{ord(character):04x}b"


@pytest.mark.parametrize("text", ["plain", "line\nnext\ttab", "서울 1\u00a0000 €", "👩\u200d🌾", ""])
def test_what_people_write_stays_as_it_is(text: str) -> None:
    """Every script, no-break spaces, joined emoji."""
    assert printable(text) == text


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(st.characters(exclude_categories=())),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc\x9b\u202e", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(_JSON)
def test_json_is_the_same_value_whatever_it_holds(value: object) -> None:
    """Escapes for what steers a terminal are JSON's own."""
    text = relaxed(value)
    assert json.loads(text) == value
    text.encode()
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text)


@given(_JSON)
def test_pretty_json_is_the_same_value_and_short_where_it_can_be(value: object) -> None:
    """Only the places of line ends differ."""
    assert json.loads(pretty(value)) == value
    assert pretty({"a": [1, {"b": 2}]}) == '{"a": [1, {"b": 2}]}'


def test_pretty_json_gives_each_part_of_a_long_value_its_line() -> None:
    """And lets the parts that fit stay whole."""
    long = "x" * 70
    assert pretty({"a": long, "b": [1, 2], "c": {"d": long}}).splitlines() == [
        "{",
        f'  "a": "{long}",',
        '  "b": [1, 2],',
        '  "c": {"d": "' + long + '"}',
        "}",
    ]


def test_bson_values_are_relaxed_extended_json() -> None:
    """Readable numbers and dates, the rest marked."""
    assert relaxed({"n": 5, "d": Decimal128("1.5"), "t": datetime(2026, 1, 31, tzinfo=UTC)}) == (
        '{"n": 5, "d": {"$numberDecimal": "1.5"}, "t": {"$date": "2026-01-31T00:00:00Z"}}'
    )
    assert json.loads(relaxed({"n": float("nan")})) == {"n": {"$numberDouble": "NaN"}}


def test_times_are_shown_in_utc() -> None:
    """With milliseconds where there are any."""
    seoul = timezone(timedelta(hours=9))
    assert iso(datetime(2026, 1, 31, 9, tzinfo=seoul)) == "2026-01-31T00:00:00Z"
    assert iso(datetime(2026, 1, 31, 9, 0, 0, 5000, tzinfo=UTC)) == "2026-01-31T09:00:00.005Z"
    assert iso(None) == ""


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (1, "rule", "1 rule"),
        (0, "rule", "0 rules"),
        (1, "delivery", "1 delivery"),
        (2000, "delivery", "2,000 deliveries"),
    ],
)
def test_things_are_counted_in_english(number: int, noun: str, text: str) -> None:
    """One, none, many."""
    assert counted(number, noun) == text


def test_one_line_is_one_line() -> None:
    """All white space is one blank."""
    assert one_line("  a\n\n b\t c ") == "a b c"
