"""Destinations that are down: what every store promises about what processes say of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mtrigger.stores.base import Store
from mtrigger.stores.destinations import DownDestination
from support.polling import eventually

SINCE = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
MAIL = DownDestination("me", "smtp://mail.example:25", SINCE, "$refused", SINCE + timedelta(seconds=60), 7)
HOST = replace(MAIL, destination="https://example.com", since=SINCE + timedelta(hours=1), waiting=0)
LONG = 3_600.0


async def test_what_is_said_is_shown_until_it_is_taken_back(store: Store) -> None:
    """Word by word, those that have been down longest first; said again, it is replaced."""
    assert await store.destinations.all() == []
    await store.destinations.say(HOST, LONG)
    await store.destinations.say(MAIL, LONG)
    assert await store.destinations.all() == [MAIL, HOST]
    more = replace(MAIL, waiting=8, why="timed out")
    await store.destinations.say(more, LONG)
    assert await store.destinations.all() == [more, HOST]
    await store.destinations.take_back("me", MAIL.destination)
    await store.destinations.take_back("me", MAIL.destination)
    assert await store.destinations.all() == [HOST]


async def test_each_process_speaks_for_itself(store: Store) -> None:
    """One may reach what another cannot."""
    other = replace(MAIL, by="you")
    await store.destinations.say(MAIL, LONG)
    await store.destinations.say(other, LONG)
    await store.destinations.take_back("me", MAIL.destination)
    assert await store.destinations.all() == [other]


async def test_what_is_not_said_again_counts_no_longer(store: Store) -> None:
    """Whoever said it may have been killed."""
    await store.destinations.say(MAIL, 0.001)

    async def gone() -> bool:
        return await store.destinations.all() == []

    await eventually(gone)
