"""What becomes of an attempt that failed, by the age of its delivery."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest

from mtrigger.actions.base import Preview, Work
from mtrigger.deliveries import Dead, Delivered, Retrying
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


@dataclass(frozen=True)
class Foreign:
    """An action of another package, which raises or returns what it likes."""

    result: Any = None
    error: BaseException | None = None

    async def run(self, work: Work) -> Any:
        if self.error is not None:
            raise self.error
        return self.result

    def preview(self, work: Work) -> Preview:
        return Preview("", {})


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), BaseExceptionGroup("several", [SystemExit(3)]), StopAsyncIteration()],
    ids=["exit", "group", "stop"],
)
async def test_whatever_an_action_raises_only_its_own_delivery_suffers(error: BaseException) -> None:
    """What would end a program ends no engine, which would do it again after every start."""
    outcome = await outcome_of(
        Runner(RULE, Foreign(error=error)), delivery_at(1), as_stored, datetime.now(UTC), {}, no_effects
    )
    assert isinstance(outcome, Retrying | Dead)
    assert type(error).__name__ in outcome.error


@pytest.mark.parametrize(
    ("result", "detail"), [(None, ""), ({"a": 1}, "{'a': 1}"), (7, "7"), ("sent", "sent")], ids=str
)
async def test_an_account_that_is_no_text_is_no_failure(result: Any, detail: str) -> None:
    """It has been done: doing it again because of what it said would be a double."""
    outcome = await outcome_of(
        Runner(RULE, Foreign(result)), delivery_at(1), as_stored, datetime.now(UTC), {}, no_effects
    )
    assert outcome == Delivered(detail)
