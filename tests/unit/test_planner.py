"""In which order what events come to is made durable."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from bson.timestamp import Timestamp
from pymongo import AsyncMongoClient

from mtrigger.actions.base import ActionConfig
from mtrigger.deliveries import Delivery
from mtrigger.matching import Matcher
from mtrigger.planner import Planner
from mtrigger.quiet import Absent
from mtrigger.rules import RuleAction
from mtrigger.standing import Alert, Clock
from mtrigger.stores.base import Query
from mtrigger.stores.memory import MemoryStore
from support.recording import rule_on
from support.samples import checkpoint_at, event_at

LOW = replace(
    rule_on("shop.orders", name="low", when="level < 10"),
    resolved=(RuleAction("resolved-log", "log", ActionConfig()),),
)
SILENT = replace(rule_on("shop.orders", name="silent"), absent=Absent(60.0))


async def test_first_what_is_owed_then_the_states_then_it_may_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between two of them owes nothing new and loses nothing."""
    store, steps = MemoryStore(), list[str]()
    add, keep_alerts, keep_clocks = store.add, store.standing.keep_alerts, store.standing.keep_clocks

    async def adding(deliveries: Sequence[Delivery]) -> Any:
        steps.append(f"owed {deliveries[0].action}")
        return await add(deliveries)

    async def keeping_alerts(alerts: Sequence[Alert]) -> None:
        steps.append("alert" if alerts[0].stands else "no alert")
        await keep_alerts(alerts)

    async def keeping_clocks(clocks: Sequence[Clock]) -> None:
        steps.append("told" if clocks[0].told else "clock")
        await keep_clocks(clocks)

    async def take(deliveries: Sequence[Delivery], patience: float) -> None:
        steps.append("runs")

    monkeypatch.setattr(store, "add", adding)
    monkeypatch.setattr(store.standing, "keep_alerts", keeping_alerts)
    monkeypatch.setattr(store.standing, "keep_clocks", keeping_clocks)
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(connect=False)
    planner = Planner(client, store, take, checkpoint_at(0), Matcher([LOW, SILENT]))
    low, over = (
        event_at(number, operation="replace", key=1, document={"_id": 1, "level": level})
        for number, level in ((1, 5), (2, 50))
    )

    assert await planner.store([low])
    assert await planner.store([over])
    assert await planner.pass_time(Timestamp(over.cluster_time.time + 60, 1))

    assert steps == [
        *("owed log", "alert", "clock", "runs"),
        *("owed resolved-log", "no alert", "clock", "runs"),
        *("owed log", "told", "runs"),
    ]
    assert await store.count(Query()) == 3
    await client.close()
