"""`mtrigger topic groups`: who reads which topic, and where each stands."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from mtrigger.cli.addresses import Addresses, address_options, addresses
from mtrigger.cli.options import json_option, together

if TYPE_CHECKING:  # the driver is loaded when the command runs
    from mtrigger.cli.topic.standing import Standing


@click.command()
@click.argument("name", required=False, default="")
@together(address_options, json_option)
def groups(*, name: str, as_json: bool, **given: str) -> None:
    """List the groups of topics, and where each stands.

    Of all topics or of one: groups of rules, and those of members in Python.

    POSITION is the offset up to which everything is done; LAG how many messages are behind it. (Members may
    have done some of these already.)
    """
    from mtrigger.cli.connecting import run
    from mtrigger.cli.output import counted, print_json, say

    where = addresses(given["uri"], given["state_uri"], given["state_db"])
    found = run(found_groups(where, name))
    if as_json:
        print_json({"groups": found})
        return
    if found:
        click.echo(group_table(found))
    say(counted(len(found), "group") if found else "no groups yet")


def group_table(found: Sequence[Mapping[str, Any]]) -> str:
    """A line a group, of those that `found_groups` has found."""
    from mtrigger.cli.output import table

    headings = ("TOPIC", "GROUP", "OF", "POSITION", "LAG", "READ BY")
    return table(headings, [_cells(one) for one in found])


async def found_groups(where: Addresses, topic: str) -> list[dict[str, Any]]:
    """One document a group; of all topics for ""."""
    from mtrigger.cli.connecting import WRITE_SECONDS, state_database
    from mtrigger.cli.topic.standing import standings
    from mtrigger.cli.topic.starting import no_topic
    from mtrigger.stores.mongo import MongoStore
    from mtrigger.stores.steadiness import StateOutage
    from mtrigger.topics.registry import MongoTopics

    async with state_database(where) as state, asyncio.timeout(WRITE_SECONDS):
        topics, store = MongoTopics(state, StateOutage(None)), MongoStore(state.client, state.name)
        names = await topics.names()
        found = await standings(state, topic)
        if topic and topic not in names and not found:
            raise no_topic(topic, names)
        ends = {
            name: await topics.log(name).position("now")
            for name in {one.topic for one in found}.intersection(names)
        }
        return [await _document(one, ends.get(one.topic, 0), store) for one in found]


async def _document(one: "Standing", end: int, store: Any) -> dict[str, Any]:
    from mtrigger.cli.owners import owner

    return {
        "topic": one.topic,
        "group": one.name,
        "kind": one.kind,
        "position": one.position,
        "lag": max(0, end - one.position),
        "resets": one.resets,
        "owner": None if one.checkpoint is None else await owner(store, one.group.stream),
        "members": _members(one),
    }


def _members(one: "Standing") -> Sequence[Mapping[str, Any]]:
    from mtrigger.ownership.processes import is_gone, shown

    if one.row is None:
        return []
    return [
        {
            "name": name,
            "process": shown(member.process),
            "shares": one.row.owners.count(name),
            "lease_seconds": member.seconds,
            "gone": is_gone(member.process),
        }
        for name, member in one.row.members.items()
    ]


def _cells(one: Mapping[str, Any]) -> list[str]:
    return [
        one["topic"],
        one["group"],
        one["kind"],
        str(one["position"]),
        f"{one['lag']:,}",
        _readers(one),
    ]


def _readers(one: Mapping[str, Any]) -> str:
    from mtrigger.cli.output import counted
    from mtrigger.cli.owners import sentence

    if one["kind"] == "rules":
        return sentence(one["owner"])
    there = [
        f"{member['process']}: {counted(member['shares'], 'share')}{', gone' if member['gone'] else ''}"
        for member in one["members"]
    ]
    return "; ".join(there) or "nobody"
