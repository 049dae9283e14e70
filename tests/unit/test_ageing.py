"""How old deliveries are: nothing grows old while it is held back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import pytest

from mtrigger.gates import Wishes
from mtrigger.quiet import Active
from mtrigger.running.ageing import age, let_go
from support.recording import rule_on
from support.samples import delivery_at

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def hours_since(opened: datetime, otherwise: Literal["hold", "skip"]) -> Active:
    """Hours of every day that have begun at `opened`, give or take a minute."""
    end = opened + timedelta(hours=12)
    return Active(frozenset(range(7)), opened.time(), end.time(), ZoneInfo("UTC"), otherwise)


@pytest.mark.parametrize(
    ("held", "opened", "otherwise", "expected"),
    [
        pytest.param(None, None, None, 3 * DAY, id="owed all the time"),
        pytest.param(HOUR, None, None, HOUR, id="held until an hour ago"),
        pytest.param(4 * DAY, None, None, 3 * DAY, id="held before it was owed"),
        pytest.param(None, 2 * HOUR, "hold", 2 * HOUR, id="the hours began later"),
        pytest.param(HOUR, 2 * HOUR, "hold", HOUR, id="held within the hours"),
        pytest.param(2 * DAY, 2 * HOUR, "hold", 2 * HOUR, id="held before these hours"),
        pytest.param(None, 2 * HOUR, "skip", 3 * DAY, id="hours that nothing waits for"),
    ],
)
def test_it_counts_from_the_last_that_held_it_back(
    held: timedelta | None,
    opened: timedelta | None,
    otherwise: Literal["hold", "skip"] | None,
    expected: timedelta,
) -> None:
    """Whatever that was."""
    now = datetime.now(UTC)
    rule = rule_on("shop.orders")
    if opened is not None and otherwise is not None:
        rule = replace(rule, active=hours_since(now - opened, otherwise))
    owed = delivery_at(1, created_at=now - 3 * DAY)
    if held is not None:
        owed = replace(owed, held_until=now - held)

    assert age(rule, owed) == pytest.approx(expected.total_seconds(), abs=60)


@pytest.mark.parametrize(
    ("held", "resumed", "expected"),
    [
        pytest.param(None, None, None, id="never paused"),
        pytest.param(None, HOUR, HOUR, id="resumed since it is owed"),
        pytest.param(2 * HOUR, HOUR, HOUR, id="resumed since it was held"),
        pytest.param(HOUR, 2 * HOUR, HOUR, id="held since it was resumed"),
        pytest.param(None, 4 * DAY, None, id="resumed before it was owed"),
    ],
)
def test_a_pause_holds_what_was_owed_before_its_end(
    held: timedelta | None, resumed: timedelta | None, expected: timedelta | None
) -> None:
    """And nothing else; another rule's does not matter."""
    now = datetime.now(UTC)
    owed = delivery_at(1, created_at=now - 3 * DAY)
    if held is not None:
        owed = replace(owed, held_until=now - held)
    ends = {"another": now}
    if resumed is not None:
        ends[owed.rule] = now - resumed

    found = let_go(owed, Wishes(resumed=ends)).held_until

    assert found == (now - expected if expected is not None else None)
