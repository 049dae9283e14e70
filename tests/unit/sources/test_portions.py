"""A result is cut so that nothing is lost, however many rows are read by the same values."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from mtrigger.sources.portions import Portion, cut_between

Rows = list[tuple[int, int]]


def read(rows: Rows, batch: int, limit: int | None) -> list[Portion]:
    found = rows[:limit] if limit is not None else rows

    def portions() -> Iterator[Rows]:
        start = 0
        while True:
            portion = found[start : start + batch]
            yield portion
            if len(portion) < batch:
                return
            start += batch

    return list(cut_between(portions(), batch, 1, limit))


positions = st.lists(st.integers(0, 6), max_size=30).map(sorted)


@given(positions, st.integers(1, 7), st.none() | st.integers(1, 12))
def test_up_to_the_position_of_a_portion_nothing_is_missing(
    numbers: list[int], batch: int, limit: int | None
) -> None:
    """Ties are never cut: a reading that goes on behind the position finds all the others."""
    rows = [(number, index) for index, number in enumerate(numbers)]
    given_out: Rows = []
    for portion in read(rows, batch, limit):
        given_out += portion.rows  # type: ignore[arg-type]  # rows of this test
        if portion.position is not None:
            assert {row for row in rows if row[0] <= portion.position[0]} <= set(given_out)


@given(positions, st.integers(1, 7), st.integers(1, 12))
def test_stretch_by_stretch_every_row_is_read(numbers: list[int], batch: int, limit: int) -> None:
    """Each once where they differ; a stretch of equal ones alone makes no progress, and says so."""
    rows = [(number, index) for index, number in enumerate(numbers)]
    given_out: Rows = []
    behind = -1
    while True:
        found = read([row for row in rows if row[0] > behind], batch, limit)
        for portion in found:
            given_out += portion.rows  # type: ignore[arg-type]  # rows of this test
        assert [portion.ended for portion in found] == [False] * (len(found) - 1) + [True]
        if not found[-1].cut:
            break
        if found[-1].position is None:
            assert len({row[0] for row in found[0].rows}) == 1
            return
        behind = found[-1].position[0]
    assert set(given_out) == set(rows)
    if len(set(numbers)) == len(numbers):
        assert given_out == rows
