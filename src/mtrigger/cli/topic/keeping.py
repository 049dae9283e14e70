"""`mtrigger topic set` and `mtrigger topic delete`: how long messages are kept, and whole topics that go."""

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from mtrigger.cli.addresses import Addresses, address_options, addresses
from mtrigger.cli.options import json_option, together
from mtrigger.cli.topic.sizes import parse_size

if TYPE_CHECKING:  # the driver is loaded when the command runs
    from mtrigger.topics.log import Retention

FOR_EVER = "forever"
NO_LIMIT = "none"


@click.command("set")
@click.argument("name")
@click.option("--keep", metavar=f"[DURATION|{FOR_EVER}]", help="How long messages are kept: 30d, 12h.")
@click.option("--max-size", metavar=f"[SIZE|{NO_LIMIT}]", help="Of how many bytes at most: 500MB, 1GB.")
@together(address_options, json_option)
def set_topic(*, name: str, keep: str | None, max_size: str | None, as_json: bool, **given: str) -> None:
    """Say how long the messages of a topic are kept.

    Makes the topic, if it is not there. At first messages are kept for 7 days, of any size. Their age counts
    from when they came, and the oldest go first, at most once a minute.
    """
    from mtrigger.cli.connecting import run
    from mtrigger.cli.output import print_json, say
    from mtrigger.cli.topic.listing import kept_text

    changes: dict[str, float | int | None] = {}
    if keep is not None:
        changes["seconds"] = None if keep == FOR_EVER else _duration(keep)
    if max_size is not None:
        changes["size"] = None if max_size == NO_LIMIT else _size(max_size)
    where = addresses(given["uri"], given["state_uri"], given["state_db"])
    kept = run(_keep(where, name, changes))
    if as_json:
        print_json({"name": name, "keep_seconds": kept.seconds, "max_bytes": kept.size})
    say(f"messages of {name} are kept: {kept_text(kept.seconds, kept.size)}")


async def _keep(where: Addresses, name: str, changes: dict[str, Any]) -> "Retention":
    from dataclasses import replace

    from mtrigger.cli.connecting import WRITE_SECONDS, state_database
    from mtrigger.stores.steadiness import StateOutage
    from mtrigger.topics.log import Retention
    from mtrigger.topics.registry import MongoTopics

    async with state_database(where) as state, asyncio.timeout(WRITE_SECONDS):
        topics = MongoTopics(state, StateOutage(None))
        topics.log(name)  # checks the name
        row = await topics.row(name)
        kept = replace(Retention() if row is None else row.retention, **changes)
        await topics.keep(name, kept)
    return kept


def _duration(text: str) -> float:
    from mtrigger.config_types import parse_duration

    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise click.UsageError(f"--keep {text}: {error}, or `{FOR_EVER}`") from error
    if seconds <= 0:
        raise click.UsageError("--keep is longer than nothing")
    return seconds


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise click.UsageError(f"--max-size {text}: {error}, or `{NO_LIMIT}`") from error


@click.command()
@click.argument("name")
@click.option("--group", default="", metavar="GROUP", help="Forget only this group of it.")
@click.option("--yes", is_flag=True, default=False, help="Do not ask.")
@together(address_options, json_option)
def delete(*, name: str, group: str, yes: bool, as_json: bool, **given: str) -> None:
    """Delete a topic with all its messages.

    Its groups stay, and get all that is published anew.

    With --group only where that group stands is forgotten, and its name is free. One that runs begins anew.
    """
    from mtrigger.cli.connecting import run
    from mtrigger.cli.output import confirmed, print_json, say

    where = addresses(given["uri"], given["state_uri"], given["state_db"])
    what = (
        f"Forget where the group {group} of the topic {name} stands" if group else f"Delete the topic {name}"
    )
    go = confirmed(f"{what}{'' if group else ' with all its messages'}?", yes)
    if go:
        run(_forget_group(where, name, group) if group else _delete(where, name))
    if as_json:
        print_json({"deleted": go})
    say(("forgotten" if group else "deleted") if go else "left as it is")
    sys.exit(0 if go else 1)


async def _delete(where: Addresses, name: str) -> None:
    from mtrigger.cli.connecting import WRITE_SECONDS, state_database
    from mtrigger.cli.topic.resetting import set_position
    from mtrigger.cli.topic.standing import standings
    from mtrigger.cli.topic.starting import no_topic
    from mtrigger.stores.steadiness import StateOutage
    from mtrigger.topics.registry import MongoTopics

    async with state_database(where) as state, asyncio.timeout(WRITE_SECONDS):
        topics = MongoTopics(state, StateOutage(None))
        last = await topics.end(name)
        if last is None:
            raise no_topic(name, await topics.names())
        for one in await standings(state, name):
            await set_position(state, one, last)
        await topics.delete(name)  # at the end: where this breaks off, the topic is there to be deleted again


async def _forget_group(where: Addresses, topic: str, group: str) -> None:
    from mtrigger.cli.connecting import WRITE_SECONDS, state_database
    from mtrigger.cli.topic.standing import standing_of
    from mtrigger.stores.mongo import MongoStore
    from mtrigger.topics.mongo_groups import MongoGroups

    async with state_database(where) as state, asyncio.timeout(WRITE_SECONDS):
        one = await standing_of(state, topic, group)
        if one.checkpoint is None:
            await MongoGroups(state).delete(one.group)
        else:
            await MongoStore(state.client, state.name).reset(one.group.stream)
