"""`mtrigger pause` and `mtrigger resume`: let nothing of a rule run for a while."""

import sys
from datetime import UTC, datetime
from typing import Any

import click

from mtrigger.cli.wishes import wish_options
from mtrigger.deliveries import OPEN
from mtrigger.gates import Pause
from mtrigger.stores.base import Query, Store


@click.command()
@click.argument("rule", metavar="RULE")
@click.option("--drop", is_flag=True, default=False, help="Leave out what becomes due meanwhile, for good.")
@click.option("--comment", default="", metavar="TEXT", help="Why; shown wherever the pause is.")
@wish_options
def pause(*, rule: str, drop: bool, comment: str, **given: Any) -> None:
    """Pause a rule until it is resumed: nothing of it runs.

    What it owes, and what becomes due meanwhile, is kept, and done when the rule is resumed. A `watch` that
    runs takes the pause up within a second or two; an attempt that runs already comes to its end.
    """
    from mtrigger.cli.output import one_line, print_json, say
    from mtrigger.cli.wishes import (
        asker,
        pause_json,
        pause_sentence,
        refuse_unknown,
        warn_if_unheard_of,
        with_store,
    )

    refuse_unknown(rule, given)
    wish = Pause(rule, datetime.now(UTC).replace(microsecond=0), drop, one_line(comment), asker())

    async def add(store: Store) -> int:
        await warn_if_unheard_of(store, rule, given)
        await store.wishes.pause(wish)
        return await store.count(_owed(rule))

    shown = pause_json(wish, with_store(given, add))
    if given["as_json"]:
        print_json({"pause": shown})
    say(f"paused: {pause_sentence(shown)}")


@click.command()
@click.argument("rule", metavar="RULE")
@click.option("--drop", is_flag=True, default=False, help="Discard what it is owed, instead of doing it now.")
@wish_options
def resume(*, rule: str, drop: bool, **given: Any) -> None:
    """Let a rule that is paused go on, with what it is owed.

    Exits with 1 when it is not paused.
    """
    from mtrigger.cli.output import counted, print_json, say
    from mtrigger.cli.wishes import with_store

    async def go_on(store: Store) -> tuple[bool, int, int]:
        """Whether it was paused, how many were discarded, and how many are owed now."""
        if rule not in (await store.wishes.current()).pauses:
            return False, 0, 0
        # First this, so that nothing of it runs; who runs the rules looks again at what they hold.
        discarded = await store.discard(_owed(rule)) if drop else 0
        owed = await store.count(_owed(rule))
        return await store.wishes.resume(rule), discarded, owed

    resumed, discarded, owed = with_store(given, go_on)
    if given["as_json"]:
        print_json({"resumed": resumed, "discarded": discarded, "owed": owed})
    if not resumed:
        say(f"rule {rule} is not paused; see what is: mtrigger status")
        sys.exit(1)
    dropped = f"{counted(discarded, 'delivery')} discarded, " if drop else ""
    say(f"resumed: {rule}, {dropped}{counted(owed, 'delivery')} owed")


def _owed(rule: str) -> Query:
    return Query(statuses=OPEN, rule=rule)
