"""The oracle itself: it must be able to find fault."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from faults.oracle import (
    PATH,
    DocumentKey,
    Happened,
    Receipt,
    Sample,
    expected,
    repeats,
    violations,
    with_images,
)

DOCUMENT = DocumentKey("a.one", 7)
WALKED = expected([DOCUMENT])
HAPPENED = Happened(
    {transition: f"82{transition.step:02}" for transition in WALKED},
    {transition: f"id-{transition.step}" for transition in WALKED},
)


def receipts(*steps: int) -> list[Receipt]:
    """An accepted request for each of `steps`, as it should be."""
    return [
        Receipt(
            f"id-{step}",
            WALKED[step - 1],
            PATH[step],
            0 if PATH[step] == "insert" else step - 1,
            accepted=True,
        )
        for step in steps
    ]


ALL = receipts(*PATH)


def test_nothing_is_wrong_with_a_walk_that_was_delivered_in_order_or_repeated() -> None:
    """At least once, in order, is what is promised; a repeat is no violation, and is counted."""
    repeated = [*ALL[:3], ALL[1], ALL[2], *ALL[3:], ALL[0]]

    assert violations(HAPPENED, ALL, [Sample("8204", 4), Sample("82", 0)]) == []
    assert violations(HAPPENED, repeated, []) == []
    assert with_images(repeated) == []
    assert repeats(repeated) == 3


@pytest.mark.parametrize(
    ("what", "came"),
    [
        ("never delivered: a.one 7 step 3", receipts(1, 2, 4, 5, 6, 7, 8)),
        ("never delivered: a.one 7 step 8", [*ALL[:7], replace(ALL[7], accepted=False)]),
        ("out of order: a.one 7 step 3 came before step 2", receipts(1, 3, 2, 4, 5, 6, 7, 8)),
        ("out of order: a.one 7 step 2 came", [replace(ALL[0], accepted=False), *ALL[1:], ALL[0]]),
        ("delivered under another id: a.one 7 step 2", [*ALL, replace(ALL[1], delivery="id-new")]),
        ("told wrongly: a.one 7 step 5", [*ALL, replace(ALL[4], operation="update")]),
    ],
)
def test_the_oracle_sees_what_is_lost_turned_round_renamed_or_told_wrongly(
    what: str, came: Sequence[Receipt]
) -> None:
    """Each kind of harm is named with the document and the step."""
    found = violations(HAPPENED, came, [])

    assert any(violation.startswith(what) for violation in found), found


def test_the_oracle_sees_a_position_that_ran_ahead() -> None:
    """Three rows where four events lie before the stored position."""
    assert violations(HAPPENED, ALL, [Sample("8204", 3)]) == [
        "position ahead of the outbox: 4 events lie before 8204, 3 rows are in the outbox"
    ]


def test_the_oracle_sees_a_wrong_pre_image() -> None:
    """An update from 2 to 3 whose document was said to be at 1 before."""
    assert with_images([*ALL, replace(ALL[2], before=1)])
