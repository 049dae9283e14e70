"""`mtrigger topic tail`: the messages of a topic, one a line."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from mtrigger.cli.addresses import Addresses, address_options, addresses
from mtrigger.cli.options import together

if TYPE_CHECKING:  # the driver is loaded when the command runs
    from mtrigger.messages import Message
    from mtrigger.topics.bell import Bell

LAST = 10
"""Messages that are shown when nothing says where to begin."""


@click.command()
@click.argument("name")
@click.option(
    "--from",
    "start",
    metavar="[beginning|now|TIME|after:ID|offset:N]",
    default="",
    help=f"Where to begin.  [default: the last {LAST} messages]",
)
@click.option("-f", "--follow", is_flag=True, default=False, help="Go on with what comes, until Ctrl-C.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="End after so many messages.")
@click.option("--json", "as_json", is_flag=True, default=False, help="One JSON document a line.")
@together(address_options)
def tail(*, name: str, start: str, follow: bool, limit: int | None, as_json: bool, **given: str) -> None:
    """Show the messages of a topic, one a line, in their order. No group moves by that."""
    from mtrigger.cli.connecting import run
    from mtrigger.cli.topic.starting import read_from

    wanted = read_from(start) if start else None
    where = addresses(given["uri"], given["state_uri"], given["state_db"])
    run(_tail(where, name, wanted, limit=limit, follow=follow, as_json=as_json))


async def _tail(
    where: Addresses, name: str, start: Any, *, limit: int | None, follow: bool, as_json: bool
) -> None:
    from mtrigger.cli.connecting import state_database
    from mtrigger.cli.output import say
    from mtrigger.cli.topic.starting import behind, no_topic
    from mtrigger.stores.steadiness import StateOutage
    from mtrigger.topics.bell import Bell
    from mtrigger.topics.reading import pages
    from mtrigger.topics.registry import MongoTopics

    async with state_database(where) as state:
        topics = MongoTopics(state, StateOutage(None))
        log = topics.log(name)
        if name not in (names := await topics.names()):
            if not follow:
                raise no_topic(name, names)
            say(f"there is no topic {name} yet: waiting for it")
        place = await behind(log, start, LAST)
        async with (
            _ringing(Bell(state.client, state.name) if follow else None) as bell,
            aclosing(pages(log, place, bell)) as found,
        ):
            left = limit
            async for page in found:
                shown = page[:left]
                click.echo("\n".join(_line(message, name, as_json=as_json) for message in shown))
                left = None if left is None else left - len(shown)
                if left == 0:
                    return


@asynccontextmanager
async def _ringing(bell: "Bell | None") -> "AsyncIterator[Bell | None]":
    """The bell, rung meanwhile."""
    if bell is None:
        yield None
        return
    ringing = asyncio.create_task(bell.run())
    try:
        yield bell
    finally:
        ringing.cancel()
        await asyncio.wait([ringing])


def _line(message: "Message", topic: str, *, as_json: bool) -> str:
    from mtrigger.cli.output import iso, one_line, relaxed

    if as_json:
        return relaxed(_document(message, topic))
    key = "" if message.key is None else f"{one_line(_text(message.key))}  "
    flaw = f"  [{one_line(message.flaw)}]" if message.flaw else ""
    return f"{message.offset}  {iso(message.time) or '-'}  {key}{one_line(_text(message.body))}{flaw}"


def _document(message: "Message", topic: str) -> dict[str, Any]:
    document = {
        "id": message.id,
        "key": message.key,
        "time": message.time,
        "headers": message.headers,
        "body": message.body,
        "source": message.source,
        "offset": message.offset,
        "topic": topic,
    }
    return {**document, "flaw": message.flaw} if message.flaw else document


def _text(value: Any) -> str:
    from mtrigger.cli.output import relaxed

    return value if isinstance(value, str) else relaxed(value)
