"""A time goes from the database into a place, and back into the next statement, as it was."""

from datetime import UTC, datetime
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.sources.time_columns import Style, TimeColumn

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 7, 1, 12, 0, 0, 123456)  # noqa: DTZ001 - as a clock tells it: in UTC, without a zone


@pytest.mark.parametrize(
    ("style", "bound"),
    [
        ("zoned", NOON.replace(tzinfo=UTC)),
        ("utc", NOON),
        ("local", NOON.replace(hour=14)),
        ("text", "2026-07-01 14:00:00.123"),
    ],
)
def test_the_clock_is_told_in_the_terms_of_the_column(style: Style, bound: object) -> None:
    assert TimeColumn(style, BERLIN).bound(NOON) == bound


@given(st.datetimes(), st.sampled_from(["zoned", "utc", "local"]))
def test_no_microsecond_is_lost(value: datetime, style: Style) -> None:
    column = TimeColumn(style, BERLIN)
    told = value.replace(tzinfo=UTC) if style == "zoned" else value
    kept = column.kept(told)
    assert kept is not None
    assert column.again(kept) == told


def test_a_column_may_become_one_with_a_zone() -> None:
    local = TimeColumn("local", BERLIN).kept(NOON)
    assert local is not None
    assert TimeColumn("zoned", BERLIN).again(local) == datetime(2026, 7, 1, 10, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize("style", get_args(Style))
def test_what_is_no_time_is_no_place(style: Style) -> None:
    assert TimeColumn(style, BERLIN).kept(5) is None
