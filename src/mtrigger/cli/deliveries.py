"""`mtrigger deliveries`: look into the outbox; try deliveries again, or give them up."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import click

from mtrigger.cli.addresses import address_options, addresses
from mtrigger.cli.moments import MomentType
from mtrigger.cli.options import CommandT, json_option, together
from mtrigger.deliveries import OPEN, Status
from mtrigger.stores.base import Query, Record, Store

ResultT = TypeVar("ResultT")

_SHORTEST_ID = 6
_ID_LENGTH = 32


def _filter_options(*statuses: Status) -> Callable[[CommandT], CommandT]:
    """The options that say which deliveries are meant."""
    return together(
        click.option("--rule", default="", metavar="NAME", help="Only of this rule."),
        click.option(
            "--status",
            "statuses",
            multiple=True,
            type=click.Choice([status.value for status in statuses]),
            help="Only with this status (may be given several times).",
        ),
        click.option("--error", default="", metavar="TEXT", help="Only with this text in their error."),
        click.option("--since", type=MomentType(), metavar="TIME", help="Only made since then (ISO, or 2h)."),
        click.option("--until", type=MomentType(), metavar="TIME", help="Only made before then."),
    )


@click.group()
def deliveries() -> None:
    """List, show, retry or discard deliveries: what is owed, what was done, what is dead.

    A delivery is one action of one rule, owed for one event. Its id may be shortened to 6 or more of its
    first characters, as long as only one begins with them.
    """


@deliveries.command("list")
@_filter_options(*Status)
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most.")
@together(address_options, json_option)
def list_deliveries(*, limit: int, as_json: bool, **given: Any) -> None:
    """List deliveries, newest first."""
    from mtrigger.cli import records
    from mtrigger.cli.output import print_json, say

    async def find(store: Store) -> tuple[list[Record], int]:
        query = _query(given, ())
        return await store.summaries(query, limit), await store.count(query)

    found, total = _with_store(given, find)
    if as_json:
        print_json({"deliveries": [records.summary(record) for record in found], "total": total})
        return
    if found:
        click.echo(records.listing(found))
    say(f"{len(found):,} of {total:,} deliveries" if found else "no such deliveries")


@deliveries.command()
@click.argument("delivery_id", metavar="ID")
@together(address_options, json_option)
def show(*, delivery_id: str, as_json: bool, **given: Any) -> None:
    """Show all there is to one delivery: the event, its document, and every attempt."""
    from mtrigger.cli import records
    from mtrigger.cli.output import print_json

    async def find(store: Store) -> Record:
        (full,) = await _full_ids(store, (delivery_id,))
        found = await store.find(Query(ids=(full,)), 1)
        if not found:
            raise _no_such(delivery_id)  # forgotten this moment
        return found[0]

    record = _with_store(given, find)
    if as_json:
        print_json(records.whole(record))
    else:
        click.echo("\n".join(records.page(record)))


@deliveries.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@_filter_options(Status.DEAD, Status.RETRYING)
@click.option("--all", "everything", is_flag=True, help="All dead and all retrying ones.")
@together(address_options, json_option)
def retry(*, ids: tuple[str, ...], everything: bool, as_json: bool, **given: Any) -> None:
    """Try dead or retrying deliveries again, now, with all their attempts before them.

    A running `mtrigger watch` takes them up at once; else the next one does. Exits with 1 when a delivery
    that was named by its id is neither dead nor retrying.
    """
    from mtrigger.cli.output import counted, print_json, say

    _refuse_nothing(ids, given, everything=everything)

    async def reopen(store: Store) -> int:
        return await store.reopen(_query(given, await _full_ids(store, ids)))

    count = _with_store(given, reopen)
    if as_json:
        print_json({"retried": count})
    say(f"{counted(count, 'delivery')} to be tried again")
    _end(ids, count, "neither dead nor retrying")


@deliveries.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@_filter_options(*OPEN, Status.DEAD)
@click.option("--all", "everything", is_flag=True, help="All that are owed and all dead ones.")
@click.option("--yes", is_flag=True, default=False, help="Do not ask.")
@together(address_options, json_option)
def discard(*, ids: tuple[str, ...], everything: bool, yes: bool, as_json: bool, **given: Any) -> None:
    """Give up deliveries that are owed or dead: their actions will not run. Asks first.

    Exits with 1 when a delivery that was named by its id is neither owed nor dead.
    """
    from mtrigger.cli.output import confirmed, counted, print_json, say

    _refuse_nothing(ids, given, everything=everything)
    given["statuses"] = given["statuses"] or tuple(status.value for status in (*OPEN, Status.DEAD))

    async def look(store: Store) -> tuple[Query, int]:
        query = _query(given, await _full_ids(store, ids))
        return query, await store.count(query)

    query, meant = _with_store(given, look)
    go = meant > 0 and confirmed(f"Discard {counted(meant, 'delivery')} for good?", yes)

    async def give_up(store: Store) -> int:
        return await store.discard(query)

    count = _with_store(given, give_up) if go else 0
    if as_json:
        print_json({"discarded": count})
    say(f"{counted(count, 'delivery')} discarded")
    _end(ids if go or not meant else (), count, "neither owed nor dead")


def _refuse_nothing(ids: Sequence[str], given: dict[str, Any], *, everything: bool) -> None:
    """Raise UsageError when it was not said which deliveries are meant, or said twice."""
    said = bool(ids) or any(given[name] for name in ("rule", "statuses", "error", "since", "until"))
    if not said and not everything:
        raise click.UsageError("say which: ids, a filter such as --rule or --error, or --all")
    if said and everything:
        raise click.UsageError("--all means every delivery: leave out the ids and filters, or --all")


def _query(given: dict[str, Any], ids: tuple[str, ...]) -> Query:
    return Query(
        ids=ids,
        statuses=tuple(Status(name) for name in given["statuses"]),
        rule=given["rule"],
        error=given["error"],
        since=given["since"],
        until=given["until"],
    )


async def _full_ids(store: Store, ids: Sequence[str]) -> tuple[str, ...]:
    """The ids that `ids` are the beginnings of. Raises UsageError for one that fits none, or several."""
    full = []
    for beginning in ids:
        text = beginning.lower()
        if not _SHORTEST_ID <= len(text) <= _ID_LENGTH or set(text) - set("0123456789abcdef"):
            raise click.UsageError(
                f"{beginning!r} is no id of a delivery: it has {_ID_LENGTH} digits 0-9 and a-f, of which the "
                f"first {_SHORTEST_ID} or more are enough"
            )
        found = await store.ids(text, 2)
        if not found:
            raise _no_such(beginning)
        if len(found) > 1:
            raise click.UsageError(f"several deliveries begin with {beginning}: give more of the id")
        full.append(found[0])
    return tuple(full)


def _no_such(beginning: str) -> click.UsageError:
    return click.UsageError(
        f"there is no delivery {beginning} (delivered and discarded ones are forgotten after 7 days)"
    )


def _with_store(given: dict[str, Any], work: Callable[[Store], Awaitable[ResultT]]) -> ResultT:
    """Run `work` with the store in the options."""
    from mtrigger.cli.connecting import run, state

    where = addresses(given["uri"], given["state_uri"], given["state_db"])

    async def connected() -> ResultT:
        async with state(where) as store:
            return await work(store)

    return run(connected())


def _end(ids: Sequence[str], count: int, why: str) -> None:
    """End with 1 when fewer than the deliveries named were touched."""
    from mtrigger.cli.output import say

    if count < len(set(ids)):
        say(f"{len(set(ids)) - count} of those you named: {why}, or not what the filter says")
        sys.exit(1)
