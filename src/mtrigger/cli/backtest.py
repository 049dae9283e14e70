"""`mtrigger test --since` and `--over`: what the rules would have done, for people and as JSON."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

import click
from bson.timestamp import Timestamp

from mtrigger.cli.addresses import watched_uri
from mtrigger.cli.connecting import run, watched
from mtrigger.cli.judgements import preview_json, preview_lines
from mtrigger.cli.output import counted, iso, one_line, print_json, relaxed, say, table
from mtrigger.loading import RuleSet
from mtrigger.partitions import partitions
from mtrigger.position.replaying import Replay, Stretch
from mtrigger.rules import Collections
from mtrigger.trying.backtesting import Account, Backtest, Shown


def backtest(loaded: RuleSet, services: Any, given: Mapping[str, Any], *, as_json: bool) -> int:
    """Hold the enabled rules against the past that `given` means. Returns the exit code: 1 when an action
    that is shown could not have been made."""
    accounts, events = run(_accounts(loaded, services, given))
    if as_json:
        print_json({"events": events, "rules": [_account_json(account) for account in accounts]})
    else:
        for line in _lines(accounts):
            click.echo(line)
    what = "document" if given["over"] else "event"
    say(f"{counted(events, what)} held against {counted(len(accounts), 'rule')}; nothing was sent")
    return 1 if any(account.failures for account in accounts) else 0


async def _accounts(loaded: RuleSet, services: Any, given: Mapping[str, Any]) -> tuple[list[Account], int]:
    rules = tuple(rule for rule in loaded.rules if rule.enabled)
    async with watched(watched_uri(given["uri"])) as (client, deployment):
        (undivided,) = partitions(1)
        replay = Replay(client, rules, deployment.cluster_id, undivided, given["state_db"])
        trying = Backtest(replay, services, given["show"])
        with _Counter() as counter:
            accounts = await trying.run(_stretch(given, deployment.now), counter.tell)
        return accounts, trying.events


def _stretch(given: Mapping[str, Any], now: Timestamp) -> Stretch:
    """The past that the options mean. Raises UsageError for a time that lies ahead."""
    if given["over"]:
        return Stretch(now, now, given["query"] or {}, Collections((given["over"],)))
    since: datetime = given["since"]
    if since > datetime.now(UTC):
        raise click.UsageError("--since lies in the future")
    return Stretch(Timestamp(int(since.timestamp()), 1), now)


class _Counter:
    """Shows on a terminal how many events were looked at."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shows:
            click.echo("\r\x1b[K", err=True, nl=False)

    def tell(self, events: int) -> None:
        """So many were looked at by now."""
        if self._shows:
            click.echo(f"\r{events:,} looked at", err=True, nl=False)


def _lines(accounts: Sequence[Account]) -> Iterator[str]:
    headings = ["RULE", "FIRES", "SUPPRESSED", "HELD", "FIRST", "LAST"]
    rows = [
        [
            account.rule.name,
            f"{account.came['fires']:,}",
            f"{account.came['suppressed']:,}",
            f"{account.came['held']:,}",
            iso(account.first),
            iso(account.last),
        ]
        for account in accounts
    ]
    yield table(headings, rows)
    for account in accounts:
        if account.reasons:
            yield f"{account.rule.name} would have kept quiet:"
            for reason, number in account.reasons.most_common(5):
                yield f"  {number:,} x {one_line(reason)}"
        if (unjudged := _unjudged(account)) is not None:
            yield f"{account.rule.name}: {unjudged}"
        for shown in account.shown:
            key = one_line(relaxed(shown.key))
            yield f"{account.rule.name}: {shown.operation} in {shown.namespace}, key {key}, {iso(shown.time)}"
            for action in shown.actions:
                yield from preview_lines(action)


def _unjudged(account: Account) -> str | None:
    """What of a rule is not tried here, if anything is."""
    if account.rule.absent is not None:
        return "what is absent shows only while time passes (`absent` is not tried here)"
    if account.rule.digest is not None and account.came["fires"]:
        return "these would have been sent together, in digests"
    return None


def _account_json(account: Account) -> dict[str, Any]:
    return {
        "rule": account.rule.name,
        "fires": account.came["fires"],
        "suppressed": account.came["suppressed"],
        "held": account.came["held"],
        "reasons": dict(account.reasons),
        "first": account.first,
        "last": account.last,
        "shown": [_shown_json(shown) for shown in account.shown],
    }


def _shown_json(shown: Shown) -> dict[str, Any]:
    return {
        "operation": shown.operation,
        "namespace": shown.namespace,
        "key": shown.key,
        "time": shown.time,
        "actions": [preview_json(action) for action in shown.actions],
    }
