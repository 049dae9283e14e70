"""What every store promises of the next runs of schedules."""

from datetime import timedelta

from mtrigger.stores.base import Store
from mtrigger.stores.schedules import NextRun
from support.samples import NOW

REPORT = NextRun("report", "0 9 * * * UTC", NOW.replace(microsecond=0))
TICK = NextRun("tick", "* * * * * Asia/Seoul", NOW.replace(microsecond=0))


async def test_what_was_kept_last_counts(store: Store) -> None:
    """One run for each rule."""
    assert await store.schedules.all() == {}
    await store.schedules.keep([REPORT, TICK])
    later = NextRun("report", REPORT.specification, REPORT.at + timedelta(days=1))
    await store.schedules.keep([later])
    assert await store.schedules.all() == {"report": later, "tick": TICK}


async def test_what_is_forgotten_is_not_waited_for(store: Store) -> None:
    """Also what was never there."""
    await store.schedules.keep([REPORT, TICK])
    await store.schedules.forget(["report", "gone"])
    assert await store.schedules.all() == {"tick": TICK}
