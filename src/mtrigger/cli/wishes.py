"""What commands share that ask something of a rule (`silence`, `pause`, `resume`) or show it (`status`): if
there is such a rule, who asks, and how wishes are shown."""

import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import click

from mtrigger.cli.addresses import address_options, addresses
from mtrigger.cli.options import json_option, templates_option, together
from mtrigger.deliveries import OPEN
from mtrigger.gates import Pause, Silence, Wishes
from mtrigger.stores.base import Store, Tally

ResultT = TypeVar("ResultT")

_rules_option = click.option(
    "--rules",
    type=click.Path(path_type=Path),
    envvar="MTRIGGER_RULES",
    show_envvar=True,
    help="Folder of the rules: RULE must be one of them.",
)
wish_options = together(_rules_option, templates_option, address_options, json_option)


def with_store(given: Mapping[str, Any], work: Callable[[Store], Awaitable[ResultT]]) -> ResultT:
    """Run `work`, which may write, with the store in the options."""
    import asyncio

    from mtrigger.cli.connecting import WRITE_SECONDS, run, state

    where = addresses(given["uri"], given["state_uri"], given["state_db"])

    async def connected() -> ResultT:
        async with state(where) as store, asyncio.timeout(WRITE_SECONDS):
            return await work(store)

    return run(connected())


def refuse_unknown(name: str, given: Mapping[str, Any]) -> None:
    """Raise UsageError when the rules are given and none of them has this name, or none can have it."""
    from mtrigger.loading.on_models import valid_name

    try:
        valid_name(name)
    except ValueError as error:
        raise click.UsageError(f"{name!r}: {error}") from None
    if given["rules"] is None:
        return
    from mtrigger.loading import load

    names = {rule.name for rule in load(given["rules"], given["templates"], os.environ).rules}
    if name not in names:
        raise click.UsageError(f"no rule in {given['rules']} is called {name!r}{_hint(name, names)}")


async def warn_if_unheard_of(store: Store, name: str, given: Mapping[str, Any]) -> None:
    """Say so when nothing in the state has ever heard of a rule with this name, and no rules were given."""
    from mtrigger.cli.output import say

    if given["rules"] is not None:
        return
    wishes = await store.wishes.current()
    names = {tally.line.rule for tally in await store.tallies()} | {*wishes.silences, *wishes.pauses}
    if name not in names:
        say(
            f"warning: nothing was ever owed by a rule called {name!r}{_hint(name, names)}; pass --rules to "
            "have the name checked"
        )


def _hint(name: str, names: set[str]) -> str:
    from mtrigger.config_types import closest

    near = closest(name, names)
    return f" (did you mean {near!r}?)" if near else ""


def asker() -> str:
    """Who asks: `user@host`, as far as it is known."""
    import getpass

    user = ""
    with suppress(KeyError, OSError, ImportError):  # a container's user may have no name
        user = getpass.getuser()
    return f"{user}@{socket.gethostname()}" if user else socket.gethostname()


def silence_json(silence: Silence) -> dict[str, Any]:
    """A silence in a JSON document."""
    from mtrigger.cli.output import iso

    return {
        "rule": silence.rule,
        "since": iso(silence.since),
        "until": iso(silence.until),
        "where": silence.where or None,
        "by": silence.by or None,
        "comment": silence.comment or None,
    }


def pause_json(pause: Pause, owed: int) -> dict[str, Any]:
    """A pause in a JSON document, with how many deliveries the rule is owed."""
    from mtrigger.cli.output import iso

    return {
        "rule": pause.rule,
        "since": iso(pause.since),
        "drop": pause.drop,
        "by": pause.by or None,
        "reason": pause.reason or None,
        "owed": owed,
    }


def silence_sentence(shown: Mapping[str, Any]) -> str:
    """What `silence_json` says, in one line."""
    where = f" where {shown['where']}" if shown["where"] else ""
    return f"{shown['rule']}{where}, until {shown['until']}{_by(shown, 'comment')}"


def pause_sentence(shown: Mapping[str, Any]) -> str:
    """What `pause_json` says, in one line."""
    from mtrigger.cli.output import counted

    owed = f"{counted(shown['owed'], 'delivery')} owed"
    drops = "; what becomes due is left out" if shown["drop"] else ""
    way_on = f"; go on: mtrigger resume {shown['rule']}"
    return f"{shown['rule']}, since {shown['since']}{_by(shown, 'reason')}: {owed}{drops}{way_on}"


def wishes_json(wishes: Wishes, tallies: Sequence[Tally]) -> dict[str, Any]:
    """What is paused and what is silenced, in a JSON document."""
    owed: Counter[str] = Counter()
    for tally in tallies:
        owed[tally.line.rule] += sum(tally.counts.get(status, 0) for status in OPEN)
    pauses = [pause_json(pause, owed[pause.rule]) for _, pause in sorted(wishes.pauses.items())]
    silences = [silence_json(one) for _, several in sorted(wishes.silences.items()) for one in several]
    return {"paused": pauses, "silenced": silences}


def wish_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """What `wishes_json` says, a line each."""
    yield from (f"paused     {pause_sentence(pause)}" for pause in document["paused"])
    yield from (f"silenced   {silence_sentence(silence)}" for silence in document["silenced"])


def _by(shown: Mapping[str, Any], why: str) -> str:
    by = f" by {shown['by']}" if shown["by"] else ""
    return f"{by} ({shown[why]})" if shown[why] else by
