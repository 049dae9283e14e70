"""Work that is cut short: by its time limit, and told apart from every other cancellation."""

import asyncio

import pytest

from mtrigger.supervision.cutting import Cut, TimeLimit


async def test_what_takes_too_long_is_cut_and_the_rest_goes_on() -> None:
    """One timer serves all: those that ended before it do not hold it up."""
    limit = TimeLimit(0.05)

    async def for_ever() -> None:
        async with limit.begun():
            await asyncio.Event().wait()

    async def at_once() -> str:
        async with limit.begun() as limited:
            await asyncio.sleep(0)
        return "cut" if limited.expired else "done"

    first, late, second = await asyncio.gather(at_once(), for_ever(), at_once(), return_exceptions=True)

    assert (first, second) == ("done", "done")
    assert isinstance(late, TimeoutError)
    with pytest.raises(TimeoutError):
        await for_ever()  # the timer is set anew


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    """Also when the time is up at the same moment."""
    limit = TimeLimit(60)
    begun = asyncio.Event()

    async def work() -> None:
        async with limit.begun() as limited:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                limited.cut.make()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_of_the_work_itself_is_not_the_limit() -> None:
    """Whoever asks can tell."""
    with pytest.raises(TimeoutError):
        async with TimeLimit(60).begun() as limited:
            raise TimeoutError("the work's own")

    assert not limited.expired


async def test_a_task_begins_one_stretch_after_the_other() -> None:
    """What was cut before is no reason to end the next one."""
    cut = Cut()

    async def stretch(*, is_cut: bool) -> bool:
        cut.begin()
        try:
            if is_cut:
                asyncio.get_running_loop().call_soon(cut.make)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            return cut.end(error)
        return cut.end(None)

    assert [await stretch(is_cut=is_cut) for is_cut in (True, False, True)] == [True, False, True]
