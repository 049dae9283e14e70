"""`mtrigger replay`: hold rules against the past, and owe what was not owed yet."""

import os
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from bson.timestamp import Timestamp

from mtrigger.cli.addresses import address_options, addresses
from mtrigger.cli.moments import MomentType, QueryType
from mtrigger.cli.options import json_option, rule_options, together
from mtrigger.deliveries import Delivery
from mtrigger.position.replaying import Replay, Stretch
from mtrigger.rules import Collections, Rule
from mtrigger.stores.base import Checkpoint

_LAST = 2**32 - 1
"""The last increment of a second."""


@dataclass(slots=True)
class _Account:
    """What a replay came to: by line, how many deliveries are new and how many were known; and with a dry
    run, each of them."""

    dry_run: bool
    events: int = 0
    lines: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    deliveries: list[dict[str, Any]] = field(default_factory=list)

    def add(self, events: int, owed: Sequence[Delivery], new: AbstractSet[str]) -> None:
        """Take down what some events owe, and which of it is `new`."""
        self.events += events
        for delivery in owed:
            line = self.lines.setdefault((delivery.rule, delivery.action), [0, 0])
            line[delivery.id not in new] += 1
            if self.dry_run:
                event = delivery.event
                self.deliveries.append(
                    {
                        "id": delivery.id,
                        "rule": delivery.rule,
                        "action": delivery.action,
                        "operation": event.operation,
                        "namespace": event.namespace,
                        "key": event.key,
                        "time": event.time,
                        "new": delivery.id in new,
                    }
                )

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        lines = [
            {"rule": rule, "action": action, "new": new, "known": known}
            for (rule, action), (new, known) in sorted(self.lines.items())
        ]
        shown = {"deliveries": self.deliveries} if self.dry_run else {}
        return {"dry_run": self.dry_run, "events": self.events, "lines": lines, **shown}


@click.command()
@click.option("--from", "since", type=MomentType(), metavar="TIME", help="From then on (ISO, or 2h ago).")
@click.option(
    "--to", "until", type=MomentType(), metavar="TIME", help="Until then, inclusive.  [default: now]"
)
@click.option("--rule", "names", multiple=True, metavar="NAME", help="Only this rule (several times: these).")
@click.option("--query", type=QueryType(), metavar="JSON", help="Documents as they are, not changes.")
@click.option("--collection", default="", metavar="DB.COLLECTION", help="Only these; * is any letters.")
@click.option("--dry-run", is_flag=True, default=False, help="Show what would be owed; owe nothing.")
@click.option("--yes", is_flag=True, default=False, help="Do not ask.")
@rule_options
@together(address_options, json_option)
def replay(*, as_json: bool, **given: Any) -> None:
    """Hold rules against the past, and owe what was not owed yet.

    With --from, the changes since then are read once more from the oplog, as far as it reaches back. With
    --query, the documents that are there now and that the filter finds are held against the rules (those that
    want inserts, updates or replacements and do not ask what was before).

    A delivery that is in the outbox already, whatever became of it, is not owed again; but delivered ones are
    forgotten after 7 days. What is owed is run by the `mtrigger watch` that runs, or by the next one.
    """
    from mtrigger.cli.connecting import run
    from mtrigger.cli.output import confirmed, print_json, say

    if given["since"] is None and given["query"] is None:
        raise click.UsageError("say since when with --from, or which documents with --query")
    if given["query"] is not None and given["until"] is not None:
        raise click.UsageError("--to goes with changes: documents (--query) are taken as they are now")
    account = _Account(given["dry_run"])
    question = "What was delivered more than 7 days ago is forgotten and would be done again. Go on?"
    if _forgotten(given) and not confirmed(question, given["yes"]):
        say("nothing was done")
        return
    run(_replay(given, account))
    if as_json:
        print_json(account.document())
    for line in _lines(account):
        say(line) if as_json else click.echo(line)


def _forgotten(given: Mapping[str, Any]) -> bool:
    """Whether changes are meant that are older than the memory of what was delivered."""
    since: datetime | None = given["since"]
    if since is None or given["dry_run"]:
        return False
    from mtrigger.stores.base import DELIVERED_KEPT_SECONDS

    return since < datetime.now(UTC) - timedelta(seconds=DELIVERED_KEPT_SECONDS)


async def _replay(given: Mapping[str, Any], account: _Account) -> None:
    """Do it, and take it down."""
    from mtrigger.cli.connecting import state, watched
    from mtrigger.cli.divisions import division, earliest
    from mtrigger.cli.output import say

    where = addresses(given["uri"], given["state_uri"], given["state_db"])
    if not where.uri:
        raise click.UsageError("the watched deployment is read again: name it with --uri")
    rules = _rules(given["rules"], given["templates"], given["names"])
    async with watched(where.uri) as (client, deployment), state(where) as store:
        parts = await division(store)
        stored = [await store.checkpoint(partition.name) for partition in parts]
        first = earliest([checkpoint for checkpoint in stored if checkpoint is not None])
        cluster_id = _cluster_id(first, deployment.cluster_id)
        stretch = _stretch(given, deployment.now)
        for partition in parts:
            past = Replay(client, rules, cluster_id, partition, where.state_db)
            async for events, owed in past.deliveries(stretch):
                ids = [delivery.id for delivery in owed]
                if account.dry_run:
                    account.add(events, owed, set(ids) - await store.known(ids))
                else:
                    account.add(events, owed, await store.owe(owed) if owed else frozenset())
    if stretch.query is not None and given["since"] is None and account.lines:
        say(f"to do this again without repeating it, add --from {_time(stretch.since)}")


def _rules(folder: Path, templates: Path | None, names: Sequence[str]) -> tuple[Rule, ...]:
    """The enabled rules, or those of them that are named. Raises UsageError for a name there is not."""
    from mtrigger.config_types import closest
    from mtrigger.loading import load

    rules = {rule.name: rule for rule in load(folder, templates, os.environ).rules if rule.enabled}
    for name in names:
        if name not in rules:
            near = closest(name, rules)
            hint = f"did you mean {near!r}?" if near else f"there are: {', '.join(rules) or 'none'}"
            raise click.UsageError(f"no enabled rule is called {name!r}; {hint}")
    return tuple(rules[name] for name in dict.fromkeys(names)) if names else tuple(rules.values())


def _cluster_id(checkpoint: Checkpoint | None, found: str) -> str:
    """The id of the deployment that deliveries' ids are made with: the one `watch` has noted.

    Raises UsageError when the state is another deployment's.
    """
    from mtrigger.deployment.connecting import same_cluster

    if checkpoint is None:
        return found
    if not same_cluster(checkpoint.cluster_id, found):
        raise click.UsageError(
            f"the state belongs to another deployment ({checkpoint.cluster_id}) than --uri ({found})"
        )
    return checkpoint.cluster_id


def _stretch(given: Mapping[str, Any], now: Timestamp) -> Stretch:
    """What is meant by the options."""

    pattern: str = given["collection"]
    if pattern and "." not in pattern:
        raise click.UsageError(f"--collection is database.collection, unlike {pattern!r}")
    since: datetime | None = given["since"]
    until: datetime | None = given["until"]
    # Whole seconds, so that they can be written down and passed again.
    first = Timestamp(int(since.timestamp()) if since is not None else now.time, 1)
    last = min(now, Timestamp(int(until.timestamp()), _LAST)) if until is not None else now
    if given["query"] is None and first > now:
        raise click.UsageError("--from lies in the future")
    if given["query"] is None and first > last:
        raise click.UsageError("--from lies behind --to")
    return Stretch(first, last, given["query"], Collections((pattern,)) if pattern else None)


def _lines(account: _Account) -> Iterator[str]:
    """The account, for people."""
    from mtrigger.cli.output import counted, one_line, relaxed, table

    if account.deliveries:
        rows = [
            [
                _iso(found["time"]),
                found["operation"],
                found["namespace"],
                one_line(relaxed(found["key"])),
                found["rule"],
                found["action"],
                "new" if found["new"] else "known",
            ]
            for found in account.deliveries
        ]
        yield table(["TIME", "OPERATION", "COLLECTION", "KEY", "RULE", "ACTION", ""], rows)
    new = sum(line[0] for line in account.lines.values())
    known = sum(line[1] for line in account.lines.values())
    would = "would be" if account.dry_run else "are"
    yield (
        f"{counted(account.events, 'event')} held against the rules: {counted(new, 'delivery')} {would} "
        f"newly owed, {known:,} were known"
    )


def _time(cluster_time: Timestamp) -> str:
    return _iso(datetime.fromtimestamp(cluster_time.time, UTC))


def _iso(moment: datetime) -> str:
    from mtrigger.cli.output import iso

    return iso(moment)
