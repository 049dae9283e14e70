"""`mtrigger gaps`: every stretch of the stream that was knowingly skipped."""

from datetime import UTC, datetime
from typing import Any

import click
from bson.timestamp import Timestamp

from mtrigger.cli.addresses import address_options, addresses
from mtrigger.cli.options import json_option, together
from mtrigger.partitions import UNDIVIDED
from mtrigger.stores.gaps import Gap


@click.command()
@together(address_options, json_option)
def gaps(*, uri: str, state_uri: str, state_db: str, as_json: bool) -> None:
    """List what was skipped: from when to when, why, and by which policy.

    No rule was held against the changes between the two times. "rescanned" says that the documents were held
    against the rules afterwards, as they were then.
    """
    from mtrigger.cli.connecting import run, state
    from mtrigger.cli.output import counted, print_json, say, table

    async def find() -> list[Gap]:
        async with state(addresses(uri, state_uri, state_db)) as store:
            return await store.gaps.all()

    found = [_as_json(gap) for gap in run(find())]
    if as_json:
        print_json({"gaps": found})
        return
    if found:
        divided = any(gap["stream"] != UNDIVIDED.name for gap in found)
        shown = (*(["stream"] if divided else []), "from", "to", "policy", "at", "rescanned", "why")
        rows = [[_text(gap[name]) for name in shown] for gap in found]
        click.echo(table([name.upper() for name in shown], rows))
    say(counted(len(found), "gap") if found else "nothing was ever skipped")


def _as_json(gap: Gap) -> dict[str, Any]:
    from mtrigger.cli.output import iso

    return {
        "stream": gap.stream,
        "from": _time(gap.since),
        "to": _time(gap.until),
        "why": gap.why,
        "policy": gap.policy,
        "at": iso(gap.at),
        "rescanned": gap.rescanned,
    }


def _time(cluster_time: Timestamp) -> str:
    from mtrigger.cli.output import iso

    return iso(datetime.fromtimestamp(cluster_time.time, UTC))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
