"""An outage is told in two lines, however long it lasts and whatever works meanwhile."""

import asyncio
import logging

import pytest

from mtrigger.supervision import outages
from mtrigger.supervision.outages import Outage


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses are not what is tried here."""
    monkeypatch.setattr(outages, "FIRST_PAUSE", 0.0)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged."""
    return [record.getMessage() for record in caplog.records]


async def test_a_read_that_works_does_not_end_the_outage_of_the_writes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Else the log would flap for as long as it lasts."""
    caplog.set_level(logging.WARNING)
    outage = Outage("The state database")
    for _ in range(3):
        await outage.wait(OSError("no, full error: {'a': 1}"), "settle")
        outage.over("find")
    await outage.wait(OSError("neither"), "insert")
    outage.over("settle")
    outage.over("settle")
    assert lines(caplog) == [
        "The state database was interrupted; trying again until it works, nothing is lost: no"
    ]

    outage.over("insert")

    assert lines(caplog)[1:] == ["The state database works again (after 4 failed tries)."]
    outage.over("insert")
    assert len(lines(caplog)) == 2


async def test_a_task_that_is_cancelled_waits_for_nothing() -> None:
    """The driver may turn a cancellation into an error of its own: the end must not become a retry."""

    async def swallowing() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await Outage("The state database").wait(OSError("interrupted"))

    task = asyncio.create_task(swallowing())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
