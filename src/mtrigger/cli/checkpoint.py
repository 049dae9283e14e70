"""`mtrigger checkpoint`: look at the position in the change stream, set it, or forget it."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import click
from bson.timestamp import Timestamp

from mtrigger.cli.addresses import Addresses, address_options, addresses
from mtrigger.cli.options import json_option, together
from mtrigger.settings import StartFrom, parse_start_from
from mtrigger.stores.base import Checkpoint
from mtrigger.stores.gaps import Gap

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
    """Show the position, the tokens before it, and who watches. Exits with 78 when it cannot be read."""
    from mtrigger.cli.connecting import run
    from mtrigger.cli.output import print_json

    found, owner = run(_shown(addresses(uri, state_uri, state_db)))
    if as_json:
        print_json({"checkpoint": _as_json(found) if found is not None else None, "owner": owner})
    else:
        click.echo("\n".join(_lines(found, owner)))


@checkpoint.command("set")
@click.option(
    "--time", "time_text", metavar="[now|oldest|TIME]", help="To this moment: ISO 8601 with its zone."
)
@click.option("--token", metavar="HEX", help="To this resume token, such as one `checkpoint show` lists.")
@together(_force_option, address_options, json_option)
def set_position(*, time_text: str | None, token: str | None, force: bool, **given: Any) -> None:
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
    if token is not None:
        checked = _checked(token)
        run(_refuse_if_watched(where, force=force))
        found = run(_set_token(where, checked))
    else:
        if not where.uri:
            raise click.UsageError("--time asks the watched deployment: name it with --uri")
        start = parse_start_from(str(time_text))
        if start == "rescan":
            raise click.UsageError(
                "a rescan begins with `mtrigger watch --start-from rescan`, once the position is reset"
            )
        run(_refuse_if_watched(where, force=force))
        found = run(_set_time(where, start))
    if given["as_json"]:
        print_json({"checkpoint": _as_json(found)})
    say(f"the position is now {_time(found.cluster_time)}")


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
        run(_refuse_if_watched(where, force=force))
    done = go and run(_reset(where))
    if as_json:
        print_json({"reset": done})
    if done:
        say("the position is forgotten: --start-from says where the next `watch` begins")
    else:
        say("nothing was forgotten" if go else "left as it is")


def _checked(token: str) -> str:
    """The token as the server writes it. Raises UsageError when it is none."""
    from mtrigger.events import cluster_time_of

    try:
        text = bytes.fromhex(token).hex().upper()
        cluster_time_of(text)
    except ValueError:
        raise click.UsageError(
            "--token is the `_data` of a resume token: hexadecimal digits that begin with 82"
        ) from None
    return text


async def _shown(where: Addresses) -> tuple[Checkpoint | None, dict[str, Any] | None]:
    from mtrigger.cli.connecting import state
    from mtrigger.cli.owners import owner
    from mtrigger.position.starting import STREAM

    async with state(where) as store:
        return await store.checkpoint(STREAM), await owner(store, STREAM)


async def _refuse_if_watched(where: Addresses, *, force: bool) -> None:
    from mtrigger.cli.connecting import state
    from mtrigger.cli.owners import refuse_if_watched
    from mtrigger.position.starting import STREAM

    async with state(where) as store:
        await refuse_if_watched(store, STREAM, force=force)


async def _stored(where: Addresses) -> Checkpoint | None:
    from mtrigger.cli.connecting import state
    from mtrigger.position.starting import STREAM

    async with state(where) as store:
        return await store.checkpoint(STREAM)


async def _set_token(where: Addresses, token: str) -> Checkpoint:
    """A token goes with the pipeline of the position before it; if it does not fit, its time is used."""
    from mtrigger.cli.connecting import watched
    from mtrigger.events import cluster_time_of
    from mtrigger.position.starting import STREAM

    before = await _before(where)
    if before is not None:
        cluster_id, pipeline_hash = before.cluster_id, before.pipeline_hash
    elif where.uri:
        async with watched(where.uri) as (_, deployment):
            cluster_id, pipeline_hash = deployment.cluster_id, ""
    else:
        raise click.UsageError("there is no position yet: name the watched deployment with --uri")
    new = (STREAM, {"_data": token}, cluster_time_of(token), cluster_id, pipeline_hash, datetime.now(UTC))
    return await _written(where, before, Checkpoint(*new))


async def _set_time(where: Addresses, start: StartFrom) -> Checkpoint:
    from mtrigger.cli.connecting import watched
    from mtrigger.deployment.connecting import starting_time
    from mtrigger.position.starting import STREAM

    async with watched(where.uri) as (client, deployment):
        cluster_time = await starting_time(client, start, deployment.now)
    new = Checkpoint(STREAM, None, cluster_time, deployment.cluster_id, "", datetime.now(UTC))
    return await _written(where, await _before(where), new)


async def _before(where: Addresses) -> Checkpoint | None:
    """The stored position, if it can be read: one that cannot is about to be mended."""
    from mtrigger.cli.output import say
    from mtrigger.errors import PositionError

    try:
        return await _stored(where)
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
    from mtrigger.position.starting import STREAM

    async with state(where) as store:
        return await store.reset(STREAM)


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
    from mtrigger.events import cluster_time_of

    try:
        return _time(cluster_time_of(token["_data"]))
    except ValueError:
        return None  # kept as it was found


def _lines(found: Checkpoint | None, owner: Mapping[str, Any] | None) -> Iterator[str]:
    from mtrigger.cli.output import table
    from mtrigger.cli.owners import sentence

    if found is None:
        yield "no position yet: the next `mtrigger watch` begins at its --start-from"
        return
    document = _as_json(found)
    for name in ("stream", "cluster_time", "updated_at", "cluster_id", "pipeline_hash", "token"):
        yield f"{name.replace('_', ' '):14}{document[name] or 'none'}"
    yield f"{'watched by':14}{sentence(owner)}"
    if document["previous"]:
        yield ""
        rows = [[entry["cluster_time"] or "?", entry["token"]] for entry in reversed(document["previous"])]
        yield table(["BEFORE", "TOKEN"], rows)
