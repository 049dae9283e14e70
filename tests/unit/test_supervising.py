"""Nothing is idle in silence: whatever ends a part is one error that names it."""

import asyncio

import pytest

from mtrigger.errors import PositionError
from mtrigger.supervision.supervising import PartError, part, until


async def test_an_exception_becomes_one_line_with_the_name_of_the_part() -> None:
    """Whatever its text looks like."""

    async def work() -> None:
        raise ValueError("two\n lines")

    with pytest.raises(PartError, match=r"^the planner died: ValueError: two lines \(MTRIGGER_TRACEBACK=1"):
        await part("planner", work())


async def test_a_sentence_for_the_user_stays_as_it_is() -> None:
    """And keeps its exit code."""

    async def work() -> None:
        raise PositionError("The position …")

    with pytest.raises(PositionError, match=r"^The position …$"):
        await part("reader", work())


async def test_a_part_that_just_ends_is_told() -> None:
    """A loop that returns would leave the others idle for ever."""

    async def work() -> None:
        await asyncio.sleep(0)

    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.TaskGroup() as parts:
            await until(asyncio.Event(), [parts.create_task(work(), name="reader")])
    assert raised.group_contains(PartError, match="^the reader ended although nobody asked it to$")


async def test_a_part_that_is_cancelled_by_something_else_is_told() -> None:
    """A task group takes a cancelled task for one that is done."""

    async def work() -> None:
        reading = asyncio.current_task()
        assert reading is not None
        reading.cancel()
        await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.TaskGroup() as parts:
            await until(asyncio.Event(), [parts.create_task(work(), name="reader")])
    assert raised.group_contains(PartError, match="^the reader ended although nobody asked it to$")


async def test_a_part_that_dies_is_told_once() -> None:
    """Its own error, not that it ended."""

    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.TaskGroup() as parts:
            await until(asyncio.Event(), [parts.create_task(part("reader", work()), name="reader")])
    assert [str(error) for error in raised.value.exceptions] == [
        "the reader died: ValueError: no (MTRIGGER_TRACEBACK=1 shows where)"
    ]


async def test_parts_may_end_once_it_was_asked_for() -> None:
    """And `until` returns at once when it was asked for before."""
    asked = asyncio.Event()
    asked.set()
    async with asyncio.TaskGroup() as parts:
        await until(asked, [parts.create_task(part("reader", asyncio.sleep(0)), name="reader")])
