"""`mtrigger topic list`: all topics and what they hold."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import click

from mtrigger.cli.addresses import Addresses, address_options, addresses
from mtrigger.cli.options import json_option, together
from mtrigger.cli.topic.sizes import size_text


@click.command("list")
@together(address_options, json_option)
def list_topics(*, as_json: bool, uri: str, state_uri: str, state_db: str) -> None:
    """List all topics.

    How many messages each holds, from which offset to which, how long they are kept, and its groups."""
    from mtrigger.cli.connecting import run
    from mtrigger.cli.output import counted, print_json, say, table

    found = run(_found(addresses(uri, state_uri, state_db)))
    if as_json:
        print_json({"topics": found})
        return
    if found:
        headings = ("TOPIC", "MESSAGES", "SIZE", "OFFSETS", "NEWEST", "KEPT", "GROUPS")
        click.echo(table(headings, [_cells(one) for one in found]))
    say(counted(len(found), "topic") if found else "no topics yet")


async def _found(where: Addresses) -> Sequence[dict[str, Any]]:
    """One document a topic."""
    from mtrigger.cli.connecting import WRITE_SECONDS, state_database
    from mtrigger.cli.output import iso
    from mtrigger.cli.topic.standing import standings
    from mtrigger.stores.steadiness import StateOutage
    from mtrigger.topics.registry import MongoTopics

    async with state_database(where) as state, asyncio.timeout(WRITE_SECONDS):
        topics = await MongoTopics(state, StateOutage(None)).all()
        groups = await standings(state)
    return [
        {
            "name": one.name,
            "messages": one.extent.messages,
            "bytes": one.extent.size,
            "first": one.extent.first,
            "next": one.extent.next,
            "newest": iso(one.extent.newest) or None,
            "keep_seconds": one.retention.seconds,
            "max_bytes": one.retention.size,
            "created_at": iso(one.created_at) or None,
            "groups": [group.name for group in groups if group.topic == one.name],
        }
        for one in topics
    ]


def _cells(one: Mapping[str, Any]) -> list[str]:
    held = f"{one['first']}-{one['next'] - 1}" if one["next"] > one["first"] else "-"
    newest = one["newest"] or "-"
    kept = kept_text(one["keep_seconds"], one["max_bytes"])
    return [
        one["name"],
        f"{one['messages']:,}",
        size_text(one["bytes"]),
        held,
        newest,
        kept,
        ", ".join(one["groups"]) or "-",
    ]


def kept_text(seconds: float | None, size: int | None) -> str:
    """How long messages are kept, in a few words."""
    from mtrigger.config_types import format_duration

    limits = ([format_duration(seconds)] if seconds is not None else []) + (
        [size_text(size)] if size is not None else []
    )
    return ", ".join(limits) or "for ever"
