"""What every store promises of alerts and clocks."""

from dataclasses import replace
from datetime import timedelta

from mtrigger.standing import Alert, Clock, Waiting
from mtrigger.stores.base import Store
from support.samples import NOW

SINCE = NOW.replace(microsecond=0)
ALERT = Alert("a1", "low", "shop.tanks", {"_id": 1}, SINCE, "82AA", stands=True, document={"_id": 1, "n": 5})
HOURLY = Waiting("silent", 3_600.0, ("device.id", "site"))
CLOCK = Clock(
    id="silent/1",
    waiting=HOURLY,
    group={"device.id": 7, "site": None},
    last=SINCE,
    position="82AA",
    namespace="shop.readings",
    key={"_id": 9},
    document={"_id": 9, "device": {"id": 7}},
)
AN_HOUR = timedelta(hours=1)


async def test_alerts_are_found_by_their_ids(store: Store) -> None:
    """As they were kept last; those that are over without their documents."""
    over = replace(ALERT, id="a2", stands=False, document={})
    await store.standing.keep_alerts([ALERT, over])
    assert await store.standing.alerts(["a1", "a2", "a3"]) == {"a1": ALERT, "a2": over}
    assert await store.standing.alerts([]) == {}


async def test_what_a_later_event_made_stays(store: Store) -> None:
    """Whatever is written after it; at the same position what is written last counts."""
    later = replace(ALERT, position="82BB", stands=False, document={})
    await store.standing.keep_alerts([later])
    await store.standing.keep_alerts([ALERT, replace(ALERT, id="a2")])
    assert (await store.standing.alerts(["a1"]))["a1"] == later
    assert set(await store.standing.alerts(["a1", "a2"])) == {"a1", "a2"}

    told = replace(CLOCK, told=True)
    await store.standing.keep_clocks([CLOCK])
    await store.standing.keep_clocks([told])
    await store.standing.keep_clocks([replace(CLOCK, position="82A9")])
    assert await store.standing.clocks([CLOCK.id]) == {CLOCK.id: told}


async def test_clocks_are_due_by_the_time_and_until_they_are_told(store: Store) -> None:
    """The earliest first, of the rules that are asked for."""
    second = replace(CLOCK, id="silent/2", last=SINCE - timedelta(seconds=5))
    other = replace(CLOCK, id="other/1", waiting=replace(HOURLY, rule="other"))
    told = replace(CLOCK, id="silent/3", told=True)
    await store.standing.keep_clocks([CLOCK, second, other, told])
    assert await store.standing.due(["silent"], SINCE + AN_HOUR - timedelta(seconds=6), 10) == []
    assert await store.standing.due(["silent"], SINCE + AN_HOUR, 10) == [second, CLOCK]
    assert await store.standing.due(["silent"], SINCE + AN_HOUR, 1) == [second]
    assert await store.standing.due([], SINCE + AN_HOUR, 10) == []


async def test_a_rule_that_waits_otherwise_has_other_clocks(store: Store) -> None:
    """Another time puts off what is not told; other groups, and rules that are gone, are forgotten."""
    gone = replace(CLOCK, id="gone/1", waiting=replace(HOURLY, rule="gone"))
    told = replace(CLOCK, id="silent/3", told=True)
    await store.standing.keep_clocks([CLOCK, gone, told])
    longer = replace(HOURLY, seconds=7_200.0)
    first = Clock("whole/*", Waiting("whole", 60.0, ()), {}, SINCE)

    await store.standing.wait_for([longer, first.waiting], [first])

    kept = await store.standing.clocks([CLOCK.id, gone.id, told.id, first.id])
    assert kept == {
        CLOCK.id: replace(CLOCK, waiting=longer),
        told.id: replace(told, waiting=longer),
        first.id: first,
    }
    assert await store.standing.due(["silent"], SINCE + AN_HOUR, 10) == []
    assert [clock.id for clock in await store.standing.due(["silent"], SINCE + 2 * AN_HOUR, 10)] == [CLOCK.id]
    await store.standing.wait_for([longer, first.waiting], [replace(first, last=SINCE + AN_HOUR)])
    assert (await store.standing.clocks([first.id]))[first.id] == first
    await store.standing.wait_for([replace(longer, per=("site",)), first.waiting], [])
    assert await store.standing.clocks([CLOCK.id, told.id]) == {}


async def test_clocks_run_anew_over_what_is_not_known(store: Store) -> None:
    """Those that are not told, and not back."""
    told = replace(CLOCK, id="silent/3", told=True)
    ahead = replace(CLOCK, id="silent/4", last=SINCE + 2 * AN_HOUR)
    await store.standing.keep_clocks([CLOCK, told, ahead])

    await store.standing.restart(["silent"], SINCE + AN_HOUR)

    kept = await store.standing.clocks([CLOCK.id, told.id, ahead.id])
    assert kept == {CLOCK.id: replace(CLOCK, last=SINCE + AN_HOUR), told.id: told, ahead.id: ahead}
    assert await store.standing.due(["silent"], SINCE + AN_HOUR, 10) == []


async def test_a_touch_is_no_clock(store: Store) -> None:
    """It only moves the stream's time on."""
    await store.standing.touch()
    await store.standing.touch()
    await store.standing.wait_for([], [])
    assert await store.standing.due(["silent"], SINCE + AN_HOUR, 10) == []
