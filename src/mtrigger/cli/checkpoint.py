"""`mtrigger checkpoint`: look at the position in the change stream, set it, or forget it."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import click
from bson.timestamp import Timestamp

from mtrigger.cli.addresses import Addresses, address_options, addresses
from mtrigger.cli.options import json_option, together
from mtrigger.partitions import Partition
from mtrigger.settings import StartFrom, parse_start_from
from mtrigger.stores.base import Checkpoint
from mtrigger.stores.gaps import Gap

_NOTHING: dict[str, Any] = {"checkpoint": None, "owner": None}

_force_option = click.option(
    "--force",
    is_flag=True,
    default=False,
    help="Also while somebody watches the stream: that process then stops with exit code 75.",
)


@click.group()
def checkpoint() -> None:
    """Show, set or reset the position in the change stream.

    Stop `mtrigger watch` before you set or reset it: both refuse while somebody watches the stream.
    """


@checkpoint.command()
@together(address_options, json_option)
def show(*, uri: str, state_uri: str, state_db: str, as_json: bool) -> None:
    """Show the position, the tokens before it, and who watches. Exits with 78 when it cannot be read.

    Of a stream in several partitions it shows each; "checkpoint" of the JSON is the earliest of them.
    """
    from mtrigger.cli.connecting import run
    from mtrigger.cli.output import print_json

    shown = run(_shown(addresses(uri, state_uri, state_db)))
    if as_json:
        documents = [{"checkpoint": _as_json(found), "owner": owner} for found, owner in shown]
        first = min(range(len(shown)), key=lambda number: shown[number][0].cluster_time, default=None)
        print_json({**(_NOTHING if first is None else documents[first]), "partitions": documents})
    elif shown:
        click.echo("\n\n".join("\n".join(_lines(found, owner)) for found, owner in shown))
    else:
        click.echo("no position yet: the next `mtrigger watch` begins at its --start-from")


@checkpoint.command("set")
@click.option(
    "--time", "time_text", metavar="[now|oldest|TIME]", help="To this moment: ISO 8601 with its zone."
)
@click.option("--token", metavar="HEX", help="To this resume token, such as one `checkpoint show` lists.")
@click.option(
    "--partition", metavar="NUMBER", type=int, help="Only of this partition.  [default: of all of them]"
)
@together(_force_option, address_options, json_option)
def set_position(
    *, time_text: str | None, token: str | None, partition: int | None, force: bool, **given: Any
) -> None:
    """Set the position. Stop `mtrigger watch` first.

    Changes behind the position are read (again): what is still in the outbox is not done twice, so going back
    less than 7 days is harmless (rules that are new since then do fire). Changes before it are not read; what
    is skipped is listed by `mtrigger gaps`. The token it had is kept under "previous". A rescan that is under
    way is given up.
    """
    from mtrigger.cli.connecting import run
    from mtrigger.cli.output import print_json, say

    if (time_text is None) == (token is None):
        raise click.UsageError("pass either --time or --token")
    where = addresses(given["uri"], given["state_uri"], given["state_db"])
    wanted = run(_partitions(where, partition))
    if token is not None:
        if len(wanted) > 1:
            raise click.UsageError("a token belongs to one partition: name that with --partition")
        checked = _checked(token)
        run(_refuse_if_watched(where, wanted, force=force))
        found = [run(_set_token(where, wanted[0], checked))]
    else:
        if not where.uri:
            raise click.UsageError("--time asks the watched deployment: name it with --uri")
        start = parse_start_from(str(time_text))
        if start == "rescan":
            raise click.UsageError(
                "a rescan begins with `mtrigger watch --start-from rescan`, once the position is reset"
            )
        run(_refuse_if_watched(where, wanted, force=force))
        found = run(_set_time(where, wanted, start))
    if given["as_json"]:
        print_json({"checkpoint": _as_json(found[0]), "partitions": [_as_json(one) for one in found]})
    say(f"the position is now {_time(found[0].cluster_time)}")


@checkpoint.command()
@click.option("--yes", is_flag=True, default=False, help="Do not ask.")
@together(_force_option, address_options, json_option)
def reset(*, yes: bool, force: bool, uri: str, state_uri: str, state_db: str, as_json: bool) -> None:
    """Forget the position: the next `watch` begins as a first start does. Stop `mtrigger watch` first.

    It begins where its --start-from says, and has to be told so once on the command line when there are
    deliveries: changes made until then are not seen, unless it says so.
    """
    from mtrigger.cli.connecting import run
    from mtrigger.cli.output import confirmed, print_json, say

    where = addresses(uri, state_uri, state_db)
    go = confirmed(
        "Forget the position? Changes since then will not be seen unless --start-from says so.", yes
    )
    if go:
        run(_refuse_if_watched(where, run(_partitions(where, None)), force=force))
    done = go and run(_reset(where))
    if as_json:
        print_json({"reset": done})
    if done:
        say("the position is forgotten: --start-from says where the next `watch` begins")
    else:
        say("nothing was forgotten" if go else "left as it is")


def _checked(token: str) -> str:
    """The token as the server writes it. Raises UsageError when it is none."""
    from mtrigger.resume_tokens import cluster_time_of

    try:
        text = bytes.fromhex(token).hex().upper()
        cluster_time_of(text)
    except ValueError:
        raise click.UsageError(
            "--token is the `_data` of a resume token: hexadecimal digits that begin with 82"
        ) from None
    return text


async def _partitions(where: Addresses, number: int | None) -> tuple[Partition, ...]:
    """All partitions, or the one with this number. Raises UsageError when there is none."""
    from mtrigger.cli.connecting import state
    from mtrigger.cli.divisions import division

    async with state(where) as store:
        found = await division(store)
    if number is None:
        return found
    if not 0 <= number < len(found):
        raise click.UsageError(f"there is no partition {number}: they go from 0 to {len(found) - 1}")
    return (found[number],)


async def _shown(where: Addresses) -> list[tuple[Checkpoint, dict[str, Any] | None]]:
    """The positions there are, and who owns them."""
    from mtrigger.cli.connecting import state
    from mtrigger.cli.divisions import division
    from mtrigger.cli.owners import owner

    async with state(where) as store:
        stored = [await store.checkpoint(partition.name) for partition in await division(store)]
        return [(found, await owner(store, found.stream)) for found in stored if found is not None]


async def _refuse_if_watched(where: Addresses, wanted: Iterable[Partition], *, force: bool) -> None:
    from mtrigger.cli.connecting import state
    from mtrigger.cli.owners import refuse_if_watched

    async with state(where) as store:
        for partition in wanted:
            await refuse_if_watched(store, partition.name, force=force)


async def _set_token(where: Addresses, partition: Partition, token: str) -> Checkpoint:
    """A token goes with the pipeline of the position before it; if it does not fit, its time is used."""
    from mtrigger.cli.connecting import watched
    from mtrigger.resume_tokens import cluster_time_of

    before = await _before(where, partition)
    if before is not None:
        cluster_id, pipeline_hash = before.cluster_id, before.pipeline_hash
    elif where.uri:
        async with watched(where.uri) as (_, deployment):
            cluster_id, pipeline_hash = deployment.cluster_id, ""
    else:
        raise click.UsageError("there is no position yet: name the watched deployment with --uri")
    place = ({"_data": token}, cluster_time_of(token), cluster_id, pipeline_hash)
    return await _written(where, before, Checkpoint(partition.name, *place, datetime.now(UTC)))


async def _set_time(where: Addresses, wanted: Iterable[Partition], start: StartFrom) -> list[Checkpoint]:
    from mtrigger.cli.connecting import watched
    from mtrigger.deployment.connecting import starting_time

    async with watched(where.uri) as (client, deployment):
        cluster_time = await starting_time(client, start, deployment.now)
    place = (None, cluster_time, deployment.cluster_id, "", datetime.now(UTC))
    return [
        await _written(where, await _before(where, partition), Checkpoint(partition.name, *place))
        for partition in wanted
    ]


async def _before(where: Addresses, partition: Partition) -> Checkpoint | None:
    """The stored position, if it can be read: one that cannot is about to be mended."""
    from mtrigger.cli.connecting import state
    from mtrigger.cli.output import say
    from mtrigger.errors import PositionError

    async with state(where) as store:
        try:
            return await store.checkpoint(partition.name)
        except PositionError as error:
            say(f"overwriting: {error}")
            return None


async def _written(where: Addresses, before: Checkpoint | None, new: Checkpoint) -> Checkpoint:
    """Write the position over the one that is there, or as the first one, and the gap before it, if there is
    one. Raises TimeoutError."""
    from mtrigger.cli.connecting import WRITE_SECONDS, state
    from mtrigger.deployment.connecting import same_cluster

    async with state(where) as store, asyncio.timeout(WRITE_SECONDS):
        if before is not None and same_cluster(before.cluster_id, new.cluster_id):
            since, until = before.cluster_time, new.cluster_time
            if since < until:
                why = "an operator set the position"
                await store.gaps.record(Gap(new.stream, since, until, why, "operator", new.updated_at))
        return await store.put(new)


async def _reset(where: Addresses) -> bool:
    from mtrigger.cli.connecting import state
    from mtrigger.cli.divisions import division

    async with state(where) as store:
        return any([await store.reset(partition.name) for partition in await division(store)])


def _time(cluster_time: Timestamp) -> str:
    from mtrigger.cli.output import iso

    return iso(datetime.fromtimestamp(cluster_time.time, UTC))


def _as_json(found: Checkpoint) -> dict[str, Any]:
    from mtrigger.cli.output import iso

    return {
        "stream": found.stream,
        "token": found.position or None,
        "cluster_time": _time(found.cluster_time),
        "cluster_id": found.cluster_id,
        "pipeline_hash": found.pipeline_hash or None,
        "updated_at": iso(found.updated_at),
        "previous": [
            {"token": token["_data"], "cluster_time": _token_time(token)} for token in found.previous
        ],
    }


def _token_time(token: Mapping[str, Any]) -> str | None:
    from mtrigger.resume_tokens import cluster_time_of

    try:
        return _time(cluster_time_of(token["_data"]))
    except ValueError:
        return None  # kept as it was found


def _lines(found: Checkpoint, owner: Mapping[str, Any] | None) -> Iterator[str]:
    from mtrigger.cli.output import table
    from mtrigger.cli.owners import sentence

    document = _as_json(found)
    for name in ("stream", "cluster_time", "updated_at", "cluster_id", "pipeline_hash", "token"):
        yield f"{name.replace('_', ' '):14}{document[name] or 'none'}"
    yield f"{'watched by':14}{sentence(owner)}"
    if document["previous"]:
        yield ""
        rows = [[entry["cluster_time"] or "?", entry["token"]] for entry in reversed(document["previous"])]
        yield table(["BEFORE", "TOKEN"], rows)
