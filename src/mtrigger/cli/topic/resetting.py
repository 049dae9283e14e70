"""`mtrigger topic reset`: a group goes on at another place."""

import asyncio
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from mtrigger.cli.addresses import Addresses, address_options, addresses
from mtrigger.cli.options import json_option, together

if TYPE_CHECKING:  # the driver is loaded when the command runs
    from pymongo.asynchronous.database import AsyncDatabase

    from mtrigger.cli.topic.standing import Standing


@click.command()
@click.argument("name")
@click.argument("group")
@click.option(
    "--to", metavar="[beginning|now|TIME|after:ID|offset:N]", required=True, help="Where it goes on."
)
@click.option("--yes", is_flag=True, default=False, help="Do not ask.")
@together(address_options, json_option)
def reset(*, name: str, group: str, to: str, yes: bool, as_json: bool, **given: str) -> None:
    """Let a group go on at another place of its topic.

    That may be while it runs. What lies behind that place is done once more, also where it was done before:
    rules owe it anew. What is passed over is listed by `mtrigger gaps`.
    """
    from mtrigger.cli.connecting import run
    from mtrigger.cli.output import confirmed, print_json, say
    from mtrigger.cli.topic.starting import read_from

    start = read_from(to)
    where = addresses(given["uri"], given["state_uri"], given["state_db"])
    go = confirmed(f"Let the group {group} of the topic {name} go on at {to}?", yes)
    position = run(_reset(where, name, group, start)) if go else None
    if as_json:
        print_json({"reset": go, "position": position})
    say(f"{group} goes on behind the offset {position}" if go else "left as it is")
    sys.exit(0 if go else 1)


async def _reset(where: Addresses, topic: str, group: str, start: Any) -> int:
    """Set the group; the offset behind which it goes on. Raises GroupError when there is none."""
    from mtrigger.cli.connecting import WRITE_SECONDS, state_database
    from mtrigger.cli.topic.standing import standing_of
    from mtrigger.stores.steadiness import StateOutage
    from mtrigger.topics.registry import MongoTopics

    async with state_database(where) as state, asyncio.timeout(WRITE_SECONDS):
        one = await standing_of(state, topic, group)
        position = await MongoTopics(state, StateOutage(None)).log(topic).position(start)
        if position > one.position:
            await _note_gap(state, one, position)
        await set_position(state, one, position)
    return position


async def set_position(state: "AsyncDatabase[dict[str, Any]]", one: "Standing", position: int) -> None:
    """Let the group go on behind the offset `position`, as one that was reset once more."""
    from dataclasses import replace

    from mtrigger.stores.mongo import MongoStore
    from mtrigger.topics.message_events import Place
    from mtrigger.topics.mongo_groups import MongoGroups

    if one.checkpoint is None:
        await MongoGroups(state).reset(one.group, position)
        return
    token, now = Place(one.resets + 1, position).token, datetime.now(UTC)
    moved = replace(one.checkpoint, token=token, updated_at=now, previous=(), lease=None)
    await MongoStore(state.client, state.name).put(moved)


async def _note_gap(state: "AsyncDatabase[dict[str, Any]]", one: "Standing", position: int) -> None:
    from bson.timestamp import Timestamp

    from mtrigger.stores.gaps import Gap
    from mtrigger.stores.mongo_gaps import MongoGaps
    from mtrigger.stores.steadiness import StateOutage

    now = datetime.now(UTC)
    at = Timestamp(int(now.timestamp()), one.position % 2**32)
    why = f"an operator let the group pass over the offsets {one.position + 1} to {position}"
    gap = Gap(one.group.stream, at, at, why, "operator", now)
    await MongoGaps(state, StateOutage(None)).record(gap)
