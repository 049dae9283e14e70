"""The gatekeeper: which memory a verdict is made with, and which outcomes the next delivery waits for."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mtrigger.deliveries import Dead, Delivered, Outcome, Retrying, Suppressed
from mtrigger.gates import LEFT_OUT_KNOWN, Pass, Suppress
from mtrigger.quiet import Throttle
from mtrigger.running import gatekeeping
from mtrigger.running.gatekeeping import Gatekeeper
from mtrigger.stores.memories import MemoryMemories
from support.recording import rule_on
from support.samples import NOW, delivery_at

RULE = replace(rule_on("shop.orders"), throttle=Throttle(3600.0))


async def attempted(gates: Gatekeeper, number: int, outcome: Outcome, lane: str = "a") -> bool:
    """Ask about a delivery, remember what came of it; whether that must be durable before the next one."""
    delivery = delivery_at(number, lane=lane)
    admitted = await gates.admission(RULE, delivery, NOW)
    assert gates.memory(RULE, delivery, admitted.state, outcome, NOW) is not None
    return gates.must_be_durable(delivery, outcome)


@pytest.mark.parametrize(
    ("outcome", "must"),
    [
        (Delivered(), True),
        (Dead("no"), True),
        (Retrying("busy", NOW), False),
        (Suppressed("silenced"), False),
    ],
)
async def test_what_was_let_through_is_durable_before_the_next_is_asked_about(
    outcome: Outcome, must: bool
) -> None:
    """A memory knows one of them. A retry is the next one itself."""
    assert await attempted(Gatekeeper(MemoryMemories()), 1, outcome) is must


async def test_no_more_are_left_out_than_a_memory_knows_before_they_are_durable() -> None:
    """In each group; once they are, it begins anew."""
    gates = Gatekeeper(MemoryMemories())
    for _ in range(2):
        asked = [await attempted(gates, number, Suppressed("throttled")) for number in range(LEFT_OUT_KNOWN)]
        assert asked == [False] * (LEFT_OUT_KNOWN - 1) + [True]
        assert not await attempted(gates, 1, Suppressed("throttled"), lane="b")
        gates.is_durable(delivery_at(1))


async def test_a_verdict_is_made_with_the_memory_that_is_not_written_yet() -> None:
    """Outcomes are written in batches, some time later."""
    gates = Gatekeeper(MemoryMemories())
    await attempted(gates, 1, Delivered())

    assert isinstance((await gates.admission(RULE, delivery_at(2), NOW)).verdict, Suppress)
    assert isinstance((await gates.admission(RULE, delivery_at(2, lane="b"), NOW)).verdict, Pass)


async def test_what_was_held_back_is_remembered_until_somebody_can_be_told() -> None:
    """The next send may be weeks away."""
    gates = Gatekeeper(MemoryMemories())
    await attempted(gates, 1, Delivered())
    held_back = delivery_at(2)
    admitted = await gates.admission(RULE, held_back, NOW)

    memory = gates.memory(RULE, held_back, admitted.state, Suppressed("throttled"), NOW)

    assert memory is not None
    assert memory.fields["held_back"] == 1
    assert memory.expires_at == NOW + timedelta(hours=1, days=30)


async def test_a_memory_that_is_not_at_hand_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a start, or when there are too many groups to keep them all."""
    monkeypatch.setattr(gatekeeping, "MOST_KEPT", 1)
    memories = MemoryMemories()
    gates = Gatekeeper(memories)
    delivery = delivery_at(1)
    admitted = await gates.admission(RULE, delivery, NOW)
    memory = gates.memory(RULE, delivery, admitted.state, Delivered(), NOW)
    assert memory is not None
    assert memory.expires_at == NOW + timedelta(hours=1, days=7)
    await memories.keep([memory])
    await attempted(gates, 2, Delivered(), lane="b")

    for keeper in (gates, Gatekeeper(memories)):
        assert isinstance((await keeper.admission(RULE, delivery_at(3), NOW)).verdict, Suppress)
