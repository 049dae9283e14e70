"""What becomes of an attempt that failed, by the age of its delivery."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import pytest

from mtrigger.actions.base import Preview, Work
from mtrigger.deliveries import Dead, Retrying
from mtrigger.effects import Effect
from mtrigger.quiet import Active
from mtrigger.retry import RetryPolicy
from mtrigger.rules import Collections, Rule
from mtrigger.running.attempting import Runner, Written, as_stored, outcome_of
from support.samples import delivery_at

RULE = Rule("r", Collections(("shop.orders",)), (), retry=RetryPolicy(max_age=3_600))


class Failing:
    """An action that fails for a reason that passes."""

    async def run(self, work: Work) -> str:
        raise OSError("refused")

    def preview(self, work: Work) -> Preview:
        return Preview("", {})


async def no_effects(effect: Effect) -> Written:
    """This action has none."""
    raise AssertionError(effect)


def hours_since(opened: datetime, otherwise: Literal["hold", "skip"]) -> Active:
    """Hours of every day that have begun at `opened`."""
    start = opened.time().replace(second=0, microsecond=0)
    end = (opened + timedelta(hours=12)).time().replace(second=0, microsecond=0)
    return Active(frozenset(range(7)), start, end, ZoneInfo("UTC"), otherwise)


@pytest.mark.parametrize(
    ("otherwise", "became"),
    [
        pytest.param(None, Dead, id="without hours"),
        pytest.param("hold", Retrying, id="held until a minute ago"),
        pytest.param("skip", Dead, id="hours that skip"),
    ],
)
async def test_waiting_for_hours_does_not_make_a_delivery_old(
    otherwise: Literal["hold", "skip"] | None, became: type
) -> None:
    """What was held over a weekend is not given up when the first attempt on Monday fails."""
    now = datetime.now(UTC)
    active = hours_since(now - timedelta(minutes=1), otherwise) if otherwise else None
    owed = delivery_at(1, created_at=now - timedelta(days=3))

    outcome = await outcome_of(
        Runner(replace(RULE, active=active), Failing()), owed, as_stored, now, {}, no_effects
    )

    assert isinstance(outcome, became)
