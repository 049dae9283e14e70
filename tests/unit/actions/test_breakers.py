"""The breakers of all destinations: each for itself, told to those who wait, and never without bound."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from mtrigger.actions import breakers as module
from mtrigger.actions.breaker import FAILURES
from mtrigger.actions.breakers import Breakers, DestinationDown
from support.polling import eventually

MAIL, HOST = "smtp://mail.example:25", "https://example.com"


class Waiter:
    """Somebody whose deliveries wait, and what it was told."""

    def __init__(self, *, waits: bool = True) -> None:
        self.up: list[str] = []
        self.may_probe: list[str] = []
        self.waits = waits

    def go_on(self, destination: str) -> None:
        self.up.append(destination)

    def probe(self, destination: str) -> None:
        self.may_probe.append(destination)

    def number(self, destination: str) -> int:
        return 3 if self.waits else 0


@pytest.fixture
async def breakers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Breakers]:
    """With pauses of a hundredth of a second and less."""
    monkeypatch.setattr("mtrigger.actions.breaker.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("mtrigger.actions.breaker.LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    made = Breakers()
    yield made
    made.close()


def fail(breakers: Breakers, destination: str, times: int = FAILURES) -> None:
    for _ in range(times):
        with breakers.reaching(destination) as attempt:
            attempt.failed("connection refused")


def refused(breakers: Breakers, why: str) -> None:
    """An attempt as the pools make it: it says why it failed, and raises an error of its own."""
    with breakers.reaching(MAIL) as attempt:
        attempt.failed(why)
        raise ConnectionRefusedError(why)


def slow_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(f"mtrigger.actions.breaker.{name}", 3_600.0)


async def test_one_that_is_down_holds_up_no_other(
    breakers: Breakers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks is told which one it is, why, and when to ask again."""
    slow_pauses(monkeypatch)
    fail(breakers, MAIL)
    with pytest.raises(DestinationDown, match=r"smtp://mail\.example:25 is down: connection refused") as down:
        breakers.check(MAIL)
    assert down.value.destination == MAIL
    assert 1_800 - 60 < down.value.retry_in <= 3_600
    with pytest.raises(DestinationDown), breakers.reaching(MAIL):
        pytest.fail("nothing may be tried")
    breakers.check(HOST)
    with breakers.reaching(HOST) as attempt:
        attempt.reached()


async def test_a_probe_that_fails_is_no_failure_of_its_delivery(breakers: Breakers) -> None:
    """It is told that the destination is down, like all who were not even allowed to try."""
    fail(breakers, MAIL)
    await asyncio.sleep(0.02)
    with pytest.raises(DestinationDown) as down:
        refused(breakers, "still refused")
    assert isinstance(down.value.__cause__, ConnectionRefusedError)
    assert breakers.down()[0].why == "still refused"


async def test_a_failure_before_it_opens_keeps_its_own_error(breakers: Breakers) -> None:
    """The attempt counts, and its history says what happened."""
    for _ in range(FAILURES):
        with pytest.raises(ConnectionRefusedError):
            refused(breakers, "refused")


async def test_those_who_wait_are_told_in_turn(breakers: Breakers, caplog: pytest.LogCaptureFixture) -> None:
    """First that somebody may probe, again and again until somebody does; then that it is up. Two lines in
    the log, however long it took."""
    caplog.set_level(logging.WARNING)
    waiter = Waiter()
    breakers.attend(waiter)
    fail(breakers, MAIL)
    await eventually(lambda: len(waiter.may_probe) >= 3)
    assert not waiter.up
    with pytest.raises(DestinationDown), breakers.reaching(MAIL) as attempt:
        attempt.failed("refused")
    before = len(waiter.may_probe)
    await eventually(lambda: len(waiter.may_probe) > before)
    with breakers.reaching(MAIL) as attempt:
        attempt.reached()
    assert waiter.up == [MAIL]
    assert set(waiter.may_probe) == {MAIL}
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert lines[0].startswith(f"{MAIL} is down after 5 failures in a row")
    assert lines[1].startswith(f"{MAIL} is up again")


async def test_a_cancelled_probe_lets_the_next_one_be_told(breakers: Breakers) -> None:
    """Nothing was learned, and nobody must wait for it."""
    waiter = Waiter()
    breakers.attend(waiter)
    fail(breakers, MAIL)
    await eventually(lambda: waiter.may_probe)

    async def probe() -> None:
        with breakers.reaching(MAIL):
            await asyncio.Event().wait()

    task = asyncio.create_task(probe())
    await asyncio.sleep(0)
    with pytest.raises(DestinationDown):
        breakers.check(MAIL)
    told = len(waiter.may_probe)
    task.cancel()
    await asyncio.wait([task])
    await eventually(lambda: len(waiter.may_probe) > told)
    breakers.check(MAIL)


async def test_down_says_what_people_want_to_know(breakers: Breakers) -> None:
    """And `changed` is set whenever it is worth a look."""
    assert breakers.down() == []
    breakers.attend(Waiter())
    fail(breakers, MAIL)
    assert breakers.changed.is_set()
    (down,) = breakers.down()
    assert (down.destination, down.why, down.waiting) == (MAIL, "connection refused", 3)
    assert down.since.tzinfo is not None
    assert down.probe_at >= down.since
    assert breakers.is_down(MAIL)
    breakers.changed.clear()
    await asyncio.sleep(0.02)
    with breakers.reaching(MAIL) as attempt:
        attempt.reached()
    assert breakers.changed.is_set()
    assert breakers.down() == []
    assert not breakers.is_down(MAIL)


async def test_what_nobody_asks_for_is_forgotten(breakers: Breakers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that one document named once is not shown as down for ever."""
    monkeypatch.setattr(module, "UNWANTED", 0.01)
    breakers.attend(Waiter(waits=False))
    fail(breakers, HOST)
    await eventually(lambda: not breakers.down())
    assert not breakers.is_down(HOST)


async def test_addresses_from_documents_take_bounded_memory(
    breakers: Breakers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one used longest ago is let go, and who waits for it may try again."""
    slow_pauses(monkeypatch)
    waiter = Waiter()
    breakers.attend(waiter)
    fail(breakers, MAIL)
    for number in range(module.MOST_KNOWN):
        fail(breakers, f"https://host-{number}.example", 1)
    assert waiter.up == [MAIL]
    assert breakers.down() == []
    breakers.check(MAIL)


async def test_who_has_left_is_told_nothing(breakers: Breakers) -> None:
    """The dispatcher of a partition that was given up."""
    gone, waiter = Waiter(), Waiter()
    breakers.attend(gone)
    breakers.attend(waiter)
    breakers.leave(gone)
    fail(breakers, MAIL)
    await eventually(lambda: waiter.may_probe)
    assert not gone.may_probe
