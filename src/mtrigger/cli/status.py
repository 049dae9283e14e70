"""`mtrigger status`: where the watcher stands, how far it is behind, and what is owed."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from mtrigger.cli.addresses import Addresses, address_options, addresses
from mtrigger.cli.options import json_option, templates_option, together
from mtrigger.deliveries import OPEN, Status
from mtrigger.sources.rejected_rows import OF_SOURCES
from mtrigger.stores.base import Checkpoint, Rescan, Tally

_rules_option = click.option(
    "--rules",
    type=click.Path(path_type=Path),
    envvar="MTRIGGER_RULES",
    show_envvar=True,
    help="Folder of the rules: names those that owe something and are not there any more.",
)
_together = together(_rules_option, templates_option, address_options, json_option)


@dataclass(frozen=True, slots=True)
class _Times:
    """Seconds of cluster time: now, and the first one the oplog holds; None where they cannot be known."""

    now: int | None
    oldest: int | None


@click.command()
@_together
def status(
    *, rules: Path | None, templates: Path | None, uri: str, state_uri: str, state_db: str, as_json: bool
) -> None:
    """Show where the watcher stands and what is owed.

    The position, when it was saved, and how far it is behind the deployment (of the partition that is behind
    most, and of each where there are several); how far back the oplog reaches
    (when it may be read); the mail servers and hosts that are down, why, and when they are tried again; the
    groups that read topics, and how many messages each is behind; and
    for each action of each rule how many deliveries stand where. With --rules it
    also names rules that still owe something but are not there any more: their deliveries wait until they are
    back or are discarded.
    """
    from mtrigger.cli.connecting import run
    from mtrigger.cli.output import print_json, say

    known = _names(rules, templates) if rules is not None else None
    document = run(_status(addresses(uri, state_uri, state_db), known))
    if as_json:
        print_json(document)
    else:
        click.echo("\n".join(_lines(document)))
    for warning in document["warnings"]:
        say(f"warning: {warning}")


def _names(rules: Path, templates: Path | None) -> frozenset[str]:
    from mtrigger.loading import load

    return frozenset(rule.name for rule in load(rules, templates, os.environ).rules if rule.enabled)


async def _status(where: Addresses, known: frozenset[str] | None) -> dict[str, Any]:
    """Everything `status` shows; `known` are the names of the rules, if they were given."""
    from mtrigger.cli.connecting import state
    from mtrigger.cli.destinations import found_down
    from mtrigger.cli.divisions import division, earliest
    from mtrigger.cli.owners import owner
    from mtrigger.cli.times import runs_json
    from mtrigger.cli.topic.group_list import found_groups
    from mtrigger.cli.wishes import wishes_json

    async with state(where) as store:
        stored = [await store.checkpoint(partition.name) for partition in await division(store)]
        found = [checkpoint for checkpoint in stored if checkpoint is not None]
        owners = {checkpoint.stream: await owner(store, checkpoint.stream) for checkpoint in found}
        tallies, gaps = await store.tallies(), await store.gaps.all()
        wishes = await store.wishes.current()
        down = await found_down(store)
        next_runs = await runs_json(store)
    groups = await found_groups(where, "")
    checkpoint = earliest(found)
    warnings: list[str] = []
    times = await _times(where.uri, checkpoint, warnings) if where.uri else _Times(None, None)
    lines = [_line(tally) for tally in tallies]
    owing = [line for line in lines if any(line["counts"].get(open_status.value) for open_status in OPEN)]
    rules = {line["rule"] for line in owing if not line["rule"].startswith(OF_SOURCES)}
    forgotten = sorted(rules - known) if known is not None else []
    warnings += [
        f"rule {name} still owes deliveries, but is not among the enabled rules: put it back, or run "
        f"`mtrigger deliveries discard --rule {name}`"
        for name in forgotten
    ]
    return {
        "position": _position(checkpoint, times) if checkpoint is not None else None,
        "owner": owners[checkpoint.stream] if checkpoint is not None else None,
        "partitions": [{**_position(one, times), "owner": owners[one.stream]} for one in found],
        "oplog": _oplog(checkpoint, times),
        "lines": lines,
        "dead": sum(tally.counts.get(Status.DEAD, 0) for tally in tallies),
        "gaps": len(gaps),
        **wishes_json(wishes, tallies),
        "down": down,
        "next_runs": next_runs,
        "groups": groups,
        "oldest_owed": min((line["oldest_owed"] for line in owing), default=None),
        "forgotten_rules": forgotten,
        "warnings": warnings,
    }


async def _times(uri: str, checkpoint: Checkpoint | None, warnings: list[str]) -> _Times:
    """Ask the watched deployment; no times (and a warning) when the position is of another one."""
    from mtrigger.cli.connecting import watched
    from mtrigger.deployment.connecting import same_cluster, starting_time
    from mtrigger.errors import DeploymentError

    async with watched(uri) as (client, deployment):
        if checkpoint is not None and not same_cluster(checkpoint.cluster_id, deployment.cluster_id):
            warnings.append(
                f"the position belongs to another deployment ({checkpoint.cluster_id}) than --uri "
                f"({deployment.cluster_id})"
            )
            return _Times(None, None)
        try:
            oldest = (await starting_time(client, "oldest", deployment.now)).time
        except DeploymentError:
            oldest = None  # the oplog may not be read, or is not here (mongos): then nothing is said of it
        return _Times(deployment.now.time, oldest)


def _position(checkpoint: Checkpoint, times: _Times) -> dict[str, Any]:
    from mtrigger.cli.output import iso

    at = checkpoint.cluster_time.time
    return {
        "stream": checkpoint.stream,
        "token": checkpoint.position or None,
        "cluster_time": iso(datetime.fromtimestamp(at, UTC)),
        "rescan": _rescan(checkpoint.rescan),
        "saved_at": iso(checkpoint.updated_at),
        "age_seconds": max(0, int((datetime.now(UTC) - checkpoint.updated_at).total_seconds())),
        "lag_seconds": max(0, times.now - at) if times.now is not None else None,
    }


def _rescan(rescan: Rescan | None) -> dict[str, Any] | None:
    """How far a rescan is that is not over."""
    if rescan is None or not rescan.namespaces:
        return None
    return {"documents": rescan.documents, "collections_left": len(rescan.namespaces)}


def _oplog(checkpoint: Checkpoint | None, times: _Times) -> dict[str, Any] | None:
    """How far back the oplog reaches, and the position from its end (negative: it has fallen out)."""
    from mtrigger.cli.output import iso

    if times.oldest is None or times.now is None:
        return None
    return {
        "oldest": iso(datetime.fromtimestamp(times.oldest, UTC)),
        "window_seconds": times.now - times.oldest,
        "margin_seconds": checkpoint.cluster_time.time - times.oldest if checkpoint is not None else None,
    }


def _line(tally: Tally) -> dict[str, Any]:
    from mtrigger.cli.output import iso

    return {
        "rule": tally.line.rule,
        "action": tally.line.action,
        "counts": {status.value: tally.counts[status] for status in Status if tally.counts.get(status)},
        "oldest_owed": iso(tally.oldest_open) or None,
    }


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    from mtrigger.cli.destinations import down_lines
    from mtrigger.cli.output import counted, span
    from mtrigger.cli.owners import sentence
    from mtrigger.cli.times import run_lines
    from mtrigger.cli.topic.group_list import group_table
    from mtrigger.cli.wishes import wish_lines

    position, oplog, parts = document["position"], document["oplog"], document["partitions"]
    if position is None:
        yield "position   none yet: `mtrigger watch` has not been started with this state database"
    else:
        saved = f"saved {span(position['age_seconds'])} ago"
        yield f"position   {position['cluster_time']}, {saved}"
        if position["lag_seconds"] is not None:
            yield f"behind     {span(position['lag_seconds'])}"
        if len(parts) == 1:
            yield f"watched by {sentence(document['owner'])}"
    if oplog is not None:
        yield f"oplog      reaches back {span(oplog['window_seconds'])}, to {oplog['oldest']}{_margin(oplog)}"
    if document["dead"]:
        dead = counted(document["dead"], "delivery")
        yield f"dead       {dead}; see them: mtrigger deliveries list --status dead"
    yield from down_lines(document["down"])
    yield from run_lines(document["next_runs"])
    if document["gaps"]:
        yield f"skipped    {counted(document['gaps'], 'gap')}; see them: mtrigger gaps"
    yield from wish_lines(document)
    for part in parts:
        if part["rescan"] is not None:
            left = counted(part["rescan"]["collections_left"], "collection")
            whose = f" of {part['stream']}" if len(parts) > 1 else ""
            yield f"rescan     {part['rescan']['documents']:,} documents{whose} read, {left} to go"
    if len(parts) > 1:
        yield ""
        yield from _partitions(parts)
        yield ""
    if document["groups"]:
        yield ""
        yield group_table(document["groups"])
        yield ""
    yield from _table(document["lines"], document["oldest_owed"])


def _partitions(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line a partition."""
    from mtrigger.cli.output import span, table
    from mtrigger.cli.owners import sentence

    rows = [
        [
            part["stream"],
            part["cluster_time"],
            span(part["lag_seconds"]) if part["lag_seconds"] is not None else "",
            sentence(part["owner"]),
        ]
        for part in parts
    ]
    yield table(["PARTITION", "POSITION", "BEHIND", "WATCHED BY"], rows)


def _margin(oplog: Mapping[str, Any]) -> str:
    from mtrigger.cli.output import span

    margin = oplog["margin_seconds"]
    if margin is None:
        return ""
    if margin < 0:
        return f"; the position is {span(-margin)} OUTSIDE it"
    return f"; the position is {span(margin)} inside it"


def _table(lines: Sequence[Mapping[str, Any]], oldest: str | None) -> Iterator[str]:
    from mtrigger.cli.output import table

    if not lines:
        yield "deliveries none"
        return
    shown = [status.value for status in Status if any(status.value in line["counts"] for line in lines)]
    rows = [
        [line["rule"], line["action"], *_numbers(line, shown), line["oldest_owed"] or ""] for line in lines
    ]
    yield f"owed since {oldest}" if oldest else "owed       nothing"
    yield ""
    yield table(["RULE", "ACTION", *(name.upper() for name in shown), "OLDEST OWED"], rows)


def _numbers(line: Mapping[str, Any], statuses: Sequence[str]) -> Iterator[str]:
    return (str(line["counts"].get(status, 0)) for status in statuses)
