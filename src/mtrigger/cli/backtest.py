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
from mtrigger.events import RESCAN
from mtrigger.partitions import partitions
from mtrigger.position.replaying import Replay, Stretch
from mtrigger.rules import Collections, Rule, with_endings
from mtrigger.trying.backtesting import MOST_TIMES, Account, Backtest, Shown


def backtest(rules: Sequence[Rule], services: Any, given: Mapping[str, Any], *, as_json: bool) -> int:
    """Hold `rules`, which are enabled, against the past that `given` means. Returns the exit code: 1 when an
    action that is shown could not have been made."""
    accounts, past = run(_accounts(rules, services, given))
    is_over = bool(given["over"])
    if as_json:
        listed = [_account_json(account) for account in accounts]
        print_json({"events": past.events, "looked_up": past.looked_up, "rules": listed})
    else:
        for line in _lines(accounts, is_over=is_over):
            click.echo(line)
    what = "document" if is_over else "event"
    say(f"{counted(past.events, what)} held against {counted(len(accounts), 'rule')}; nothing was sent")
    if past.looked_up:
        say(
            f"{counted(past.looked_up, 'update')} came without a document (collections that keep no "
            "post-images): held against the documents as they are now"
        )
    return 1 if any(account.failures for account in accounts) else 0


async def _accounts(
    rules: Sequence[Rule], services: Any, given: Mapping[str, Any]
) -> tuple[list[Account], Backtest]:
    tried = tuple(rules)
    async with watched(watched_uri(given["uri"])) as (client, deployment):
        (undivided,) = partitions(1)
        read_for = tuple(with_endings(tried))
        replay = Replay(client, read_for, deployment.cluster_id, undivided, given["state_db"])
        trying = Backtest(tried, replay, services, given["show"])
        with _Counter() as counter:
            accounts = await trying.run(_stretch(given, deployment.now), counter.tell)
        return accounts, trying


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


def _lines(accounts: Sequence[Account], *, is_over: bool) -> Iterator[str]:
    headings = ["RULE", "FIRES", "RESOLVES", "SUPPRESSED", "HELD", "FIRST", "LAST"]
    rows = [
        [
            account.rule.name,
            f"{account.came['fires']:,}",
            f"{account.came['resolves']:,}",
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
        for note in _notes(account, is_over=is_over):
            yield f"{account.rule.name}: {note}"
        for shown in account.shown:
            key = one_line(relaxed(shown.key))
            yield f"{account.rule.name}: {shown.operation} in {shown.namespace}, key {key}, {iso(shown.time)}"
            for action in shown.actions:
                yield from preview_lines(action)


def _notes(account: Account, *, is_over: bool) -> Iterator[str]:
    """What the numbers of a rule mean, and what of it is not tried here."""
    rule = account.rule
    if rule.dead_letters_of is not None:
        yield "what dies shows only when it is sent: deaths are not tried here"
    if rule.topic is not None:
        yield "messages lie in its topic, and only changes are tried here: try it with --document or --event"
    elif is_over and rule.absent is not None:
        yield "what is absent shows only in changes: try it with --since"
    elif is_over and rule.schedule is not None:
        yield "times are no documents: try it with --since"
    elif is_over and rule.dead_letters_of is None and not rule.wants(RESCAN):
        yield "it asks what has changed, which documents do not show: try it with --since"
    if account.digests:
        yield f"sent together, in {counted(account.digests, 'digest')}"
    if account.is_endless:
        yield f"more times than {MOST_TIMES:,} lie in between; the first ones were looked at"


def _account_json(account: Account) -> dict[str, Any]:
    return {
        "rule": account.rule.name,
        "fires": account.came["fires"],
        "resolves": account.came["resolves"],
        "suppressed": account.came["suppressed"],
        "held": account.came["held"],
        "digests": account.digests if account.rule.digest is not None else None,
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
