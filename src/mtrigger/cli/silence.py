"""`mtrigger silence`: leave out what becomes due of a rule for a time; list or end silences."""

import sys
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from mtrigger.cli.options import DurationType
from mtrigger.cli.wishes import wish_options
from mtrigger.conditions import Condition
from mtrigger.gates import Silence
from mtrigger.stores.base import Store


@click.command()
@click.argument("rule", metavar="[RULE]", default="")
@click.option("--for", "lasting", type=DurationType(), metavar="DURATION", help="For so long: 30m, 4h, 2d.")
@click.option(
    "--where", default="", metavar="CONDITION", help="Only changes for which this holds, as in `when:`."
)
@click.option("--comment", default="", metavar="TEXT", help="Why; shown wherever the silence is.")
@click.option("--end", is_flag=True, default=False, help="End all silences of RULE now.")
@click.option("--list", "listing", is_flag=True, default=False, help="List what is in force.")
@wish_options
def silence(
    *, rule: str, lasting: float | None, end: bool, listing: bool, where: str, comment: str, **given: Any
) -> None:
    """Silence a rule for a time: what becomes due of it meanwhile is left out, for good.

    It can be seen with `mtrigger deliveries list --status suppressed`. A `watch` that runs takes a silence up
    within a second or two. To keep what becomes due instead, and do it later: `mtrigger pause`.
    """
    if (lasting is not None) + end + listing != 1:
        raise click.UsageError("say one of: --for DURATION, --end, --list")
    if (where or comment) and lasting is None:
        raise click.UsageError("--where and --comment belong to --for")
    if listing:
        _list(rule, given)
    elif not rule:
        raise click.UsageError("say which rule: mtrigger silence RULE …")
    elif end:
        _end(rule, given)
    else:
        _begin(rule, lasting or 0.0, _condition(where), comment, given)


def _begin(
    rule: str, lasting: float, condition: Condition | None, comment: str, given: dict[str, Any]
) -> None:
    from mtrigger.cli.output import one_line, print_json, say
    from mtrigger.cli.wishes import (
        asker,
        refuse_unknown,
        silence_json,
        silence_sentence,
        warn_if_unheard_of,
        with_store,
    )

    if not lasting:
        raise click.UsageError("--for must be longer than nothing")
    refuse_unknown(rule, given)
    now = datetime.now(UTC).replace(microsecond=0)
    where = condition.text if condition is not None else ""
    until = now + timedelta(seconds=lasting)
    wish = Silence(uuid.uuid4().hex, rule, now, until, where, condition, asker(), one_line(comment))

    async def add(store: Store) -> None:
        await warn_if_unheard_of(store, rule, given)
        await store.wishes.silence(wish)

    with_store(given, add)
    if given["as_json"]:
        print_json({"silence": silence_json(wish)})
    say(f"silenced: {silence_sentence(silence_json(wish))}")


def _end(rule: str, given: dict[str, Any]) -> None:
    from mtrigger.cli.output import counted, print_json, say
    from mtrigger.cli.wishes import with_store

    async def end(store: Store) -> int:
        in_force = len((await store.wishes.current()).silences.get(rule, ()))
        await store.wishes.end_silences(rule)
        return in_force

    ended = with_store(given, end)
    if given["as_json"]:
        print_json({"ended": ended})
    if not ended:
        say(f"rule {rule} is not silenced; see what is: mtrigger silence --list")
        sys.exit(1)
    say(f"{counted(ended, 'silence')} of rule {rule} ended")


def _list(rule: str, given: dict[str, Any]) -> None:
    from mtrigger.cli.output import counted, print_json, say, table
    from mtrigger.cli.wishes import silence_json, with_store

    async def find(store: Store) -> list[Silence]:
        wishes = await store.wishes.current()
        return [one for name in sorted(wishes.silences) for one in wishes.silences[name]]

    found = [silence_json(one) for one in with_store(given, find) if rule in ("", one.rule)]
    if given["as_json"]:
        print_json({"silences": found})
        return
    if found:
        columns = ("rule", "until", "where", "since", "by", "comment")
        rows = [[str(one[name] or "") for name in columns] for one in found]
        click.echo(table([name.upper() for name in columns], rows))
    say(f"{counted(len(found), 'silence')} in force" if found else "nothing is silenced")


def _condition(text: str) -> Condition | None:
    """The condition in `--where`. Raises UsageError that points at a mistake."""
    from mtrigger.conditions import parse
    from mtrigger.errors import ConditionError

    if not text:
        return None
    try:
        return parse(text)
    except ConditionError as error:
        line = text.splitlines()[error.line - 1] if error.line <= len(text.splitlines()) else text
        place = f"column {error.column}" if error.line == 1 else f"line {error.line}, column {error.column}"
        marked = f"\n  {line}\n  {' ' * (error.column - 1)}^"
        raise click.UsageError(f"--where, {place}: {error}{marked}") from None
