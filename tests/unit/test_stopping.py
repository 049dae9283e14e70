"""A stop ends: in good order when it can, cut short when it cannot."""

import asyncio

import pytest

from mtrigger.supervision import stopping
from mtrigger.supervision.stopping import CutShortError, Stop, bounded


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of these tests are moments."""
    for name in ("LAST_WRITES", "HURRIED_WRITES", "TIDYING_UP"):
        monkeypatch.setattr(stopping, name, 0.01)


async def until_stopped(stop: Stop) -> None:
    """Work that stops in good order."""
    await stop.requested.wait()


async def test_work_that_stops_in_good_order_is_not_disturbed() -> None:
    """Nor is work that ends by itself."""
    stop = Stop()
    asyncio.get_running_loop().call_soon(stop.request)
    await bounded(until_stopped(stop), stop, 60.0)
    await bounded(asyncio.sleep(0), Stop(), 60.0)


async def test_what_ends_the_work_comes_through() -> None:
    """Its own error, with its own exit code."""

    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await bounded(work(), Stop(), 60.0)


async def test_without_a_stop_there_is_no_limit() -> None:
    """It may run for years."""
    going = asyncio.Event()
    running = asyncio.create_task(bounded(_wait(going), Stop(), 0.0))
    await asyncio.sleep(0.1)  # longer than all limits of this test together
    assert not running.done()
    going.set()
    await running


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


@pytest.mark.parametrize(
    ("requests", "drain", "why"),
    [(1, 0.01, r"after --drain 10ms: .* with the same delivery ids"), (2, 3600.0, "after a second signal: ")],
)
async def test_work_that_does_not_stop_is_cancelled(requests: int, drain: float, why: str) -> None:
    """After the drain, or soon after a second signal; and it is an error."""
    stop = Stop()
    for _ in range(requests):
        stop.request()
    cancelled = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    with pytest.raises(CutShortError, match=why):
        await bounded(work(), stop, drain)
    assert cancelled == [True]


async def test_work_that_refuses_to_be_cancelled_is_left() -> None:
    """Whatever it does with its cancellation, the wait for it ends."""
    stop, going = Stop(), asyncio.Event()
    stop.request()

    async def work() -> None:
        while not going.is_set():
            try:
                await going.wait()
            except asyncio.CancelledError:
                continue

    with pytest.raises(CutShortError):
        await bounded(work(), stop, 0.0)
    going.set()
    await asyncio.sleep(0)
