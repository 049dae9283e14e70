"""Single values of a rule file are read strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.config_types import closest, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("5m", 300), ("2h", 7200), ("7d", 604800), ("1.5h", 5400), ("0s", 0)],
)
def test_a_duration_is_a_number_with_its_unit(text: str, seconds: float) -> None:
    """In seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "5 s", "5S", "1h30m", "1e3s", "٣s", "4000d"])
def test_anything_else_is_none(text: str) -> None:
    """Without repeating the text, which may be a secret in the wrong place."""
    with pytest.raises(ValueError, match="a duration") as raised:
        parse_duration(text)
    assert not text or text == "s" or text not in str(raised.value).split()


@given(st.integers(0, 10_000_000).map(lambda milliseconds: milliseconds / 1000))
def test_a_duration_is_written_so_that_it_reads_back(seconds: float) -> None:
    """In its shortest form, to the millisecond."""
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)


def test_the_closest_word_is_found_without_regard_to_case() -> None:
    """Or none, if none is close."""
    assert closest("Wehbook", ["email", "webhook"]) == "webhook"
    assert closest("xyz", ["email", "webhook"]) == ""
