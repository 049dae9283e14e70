"""How a stream is read: large replies while it is behind, glances while the server is busy."""

import pytest
from bson.timestamp import Timestamp

from mtrigger.reading.pacing import BUSY, FEWEST, MOST, PAUSE, QUICKLY, batch_size, is_busy

NOW = 1_700_000_000
MANY = round(BUSY * PAUSE)
"""Writes in one pause of a server that is just busy."""


@pytest.mark.parametrize(
    ("asked", "came", "seconds", "following"),
    [
        (FEWEST, FEWEST, QUICKLY / 2, 2 * FEWEST),  # it catches up
        (MOST, MOST, QUICKLY / 2, MOST),
        (MOST, MOST, 3 * QUICKLY, MOST // 2),  # little gets through: what has come should not wait
        (FEWEST, FEWEST, 3 * QUICKLY, FEWEST),
        (MOST, MOST, QUICKLY, MOST),
        (FEWEST, FEWEST - 1, QUICKLY / 2, FEWEST),  # it is live: the size says nothing
        (MOST, 0, 20 * QUICKLY, MOST),
    ],
)
def test_replies_grow_while_they_come_quickly(asked: int, came: int, seconds: float, following: int) -> None:
    """Between the fewest and the most."""
    assert batch_size(asked, came, seconds) == following


@pytest.mark.parametrize(
    ("before", "now", "seconds", "busy"),
    [
        (Timestamp(NOW, 1), Timestamp(NOW, 1 + MANY), PAUSE, True),
        (Timestamp(NOW, 1), Timestamp(NOW, MANY), PAUSE, False),
        (Timestamp(NOW, 1), Timestamp(NOW, MANY), PAUSE / 100, False),  # some at once: no sign of more
        (Timestamp(NOW, 1), Timestamp(NOW, 1 + MANY), 1.0, False),  # the same number in a whole second
        (Timestamp(NOW, 1), Timestamp(NOW, 1 + BUSY), 1.0, True),
        (Timestamp(NOW, 5_000), Timestamp(NOW, 5_000), PAUSE, False),  # nothing was written
        (Timestamp(NOW - 1, 99), Timestamp(NOW, MANY), PAUSE, True),
        (Timestamp(NOW - 1, 99), Timestamp(NOW, 1), PAUSE, False),
        (Timestamp(NOW - 1, BUSY), Timestamp(NOW, 1), PAUSE, True),  # the next second has just begun
    ],
)
def test_a_server_is_busy_by_what_it_writes(
    before: Timestamp, now: Timestamp, seconds: float, busy: bool
) -> None:
    """Its cluster time counts the writes of each second."""
    assert is_busy(before, now, seconds) is busy
