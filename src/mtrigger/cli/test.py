"""`mtrigger test`: the examples of rules, or what the rules would make of one event. Nothing is sent."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from mtrigger.cli.addresses import watched_option
from mtrigger.cli.moments import MomentType, QueryType
from mtrigger.cli.options import json_option, rule_options, state_db_option, together
from mtrigger.loading import RuleSet
from mtrigger.rules import Operation, Rule

_OPERATIONS = ("insert", "update", "replace", "delete")

_event_options = together(
    click.option(
        "--event",
        "event_file",
        type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
        help="A change event, or a list of them, as Extended JSON (- for standard input).",
    ),
    click.option("--document", metavar="JSON", help="The document after the change, as Extended JSON."),
    click.option("--before", metavar="JSON", help="With --document: the document before the change."),
    click.option(
        "--operation",
        type=click.Choice(_OPERATIONS),
        help="With --document: the kind of change.  [default: insert; with --before: update]",
    ),
    click.option(
        "--collection",
        metavar="DB.COLLECTION",
        help="With --document: where it changed.  [default: the collection of each rule; a rule of dead "
        "letters takes the document as a dead letter, one with a schedule as what its query finds]",
    ),
)

_past_options = together(
    click.option(
        "--since",
        type=MomentType(),
        metavar="TIME",
        help="Hold the rules against the real changes since then (24h, or an ISO time).",
    ),
    click.option(
        "--over",
        default="",
        metavar="DB.COLLECTION",
        help="Hold the rules against the documents of this collection; * is any letters.",
    ),
    click.option("--query", type=QueryType(), metavar="JSON", help="With --over: only these documents."),
    click.option(
        "--show",
        type=click.IntRange(0, 100),
        default=3,
        show_default=True,
        metavar="N",
        help="With --since and --over: show what the actions would do for the last N of each rule.",
    ),
    watched_option,
    state_db_option,
)


@dataclass(frozen=True, slots=True)
class _Change:
    """What the options say about one change; `collection` is "" for each rule's own."""

    document: dict[str, Any]
    before: dict[str, Any] | None
    operation: Operation
    collection: str


@click.command()
@click.argument("names", metavar="[RULE]...", nargs=-1)
@_event_options
@_past_options
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what came of the examples to this file, as JUnit XML.",
)
@rule_options
@json_option
def test(*, names: tuple[str, ...], rules: Path, templates: Path | None, as_json: bool, **given: Any) -> None:
    """Run the examples of rules, or show what they make of an event or of the past. Sends nothing.

    Without --event and --document, every entry of the rules' `tests:` is held against its rule. Exits with 1
    when one fails; without any entry there is nothing to fail, and it says so and exits with 0.

    With --event or --document, each rule tells whether it wants the event, how the parts of its condition
    came out, and what its actions would do: the mail, the request, the line. Exits with 1 when an action
    would fail. `now()` is the time of the event.

    With --since, the rules are held against the real changes of the watched MongoDB since then, as far as its
    oplog reaches back; with --over, against the documents that are there. It tells how often each rule would
    have fired, and why it would have kept quiet.
    """
    _check_options(given)
    from mtrigger.loading import load

    loaded = load(rules, templates, os.environ)
    chosen = _chosen(loaded.rules, names)
    if given["since"] is not None or given["over"]:
        from mtrigger.cli.backtest import backtest

        tried = _enabled(chosen, by_name=bool(names))
        sys.exit(backtest(tried, _services(loaded), given, as_json=as_json))
    if given["event_file"] is None and given["document"] is None:
        sys.exit(_run_examples(replace(loaded, rules=chosen), given["junit"], as_json=as_json))
    sys.exit(_judge_events(replace(loaded, rules=chosen), given, as_json=as_json))


def _check_options(given: dict[str, Any]) -> None:
    asked = ("event_file", "document", "since")
    if sum(given[name] is not None for name in asked) + bool(given["over"]) > 1:
        raise click.UsageError("pass one of --event, --document, --since and --over")
    if given["junit"] is not None and (given["over"] or any(given[name] is not None for name in asked)):
        raise click.UsageError("--junit says what came of the examples in rule files: leave the others out")
    if given["query"] is not None and not given["over"]:
        raise click.UsageError("--query says more about --over, which is not there")
    if given["over"] and not all(given["over"].partition(".")):
        raise click.UsageError("write --over as database.collection")
    if given["document"] is None:
        for name in ("before", "operation", "collection"):
            if given[name] is not None:
                raise click.UsageError(f"--{name} says more about --document, which is not there")
    if given["collection"] is not None and not all(given["collection"].partition(".")):
        raise click.UsageError("write --collection as database.collection")


def _chosen(rules: Sequence[Rule], names: Iterable[str]) -> tuple[Rule, ...]:
    """The rules called `names`, or all of them. Raises UsageError for a name that no rule has."""
    from mtrigger.config_types import closest

    by_name = {rule.name: rule for rule in rules}
    for name in names:
        if name not in by_name:
            near = closest(name, by_name)
            hint = f"did you mean {near}?" if near else f"there are: {', '.join(by_name)}"
            raise click.UsageError(f"there is no rule {name!r}; {hint}")
    return tuple(by_name[name] for name in dict.fromkeys(names)) or tuple(rules)


def _enabled(rules: Sequence[Rule], *, by_name: bool) -> tuple[Rule, ...]:
    """The rules to hold against the past: the enabled ones, or those that were asked for by their names."""
    from mtrigger.cli.output import say

    if by_name:
        return tuple(replace(rule, enabled=True) for rule in rules)
    if disabled := [rule.name for rule in rules if not rule.enabled]:
        say(f"not enabled, so not tried (name them to try them): {', '.join(disabled)}")
    return tuple(rule for rule in rules if rule.enabled)


def _run_examples(loaded: RuleSet, junit: Path | None, *, as_json: bool) -> int:
    from mtrigger.cli import judgements
    from mtrigger.cli.output import counted, print_json, say
    from mtrigger.trying.rule_tests import check_examples

    services = _services(loaded)
    results = [result for rule in loaded.rules for result in check_examples(rule, services)]
    failed = sum(not result.passed for result in results)
    if as_json:
        examples = [judgements.example_json(result) for result in results]
        print_json({"examples": examples, "passed": len(results) - failed, "failed": failed})
    else:
        for result in results:
            for line in judgements.example_lines(result):
                click.echo(line)
    if junit is not None:
        _write_junit(junit, results)
    if not results:
        say(f"nothing to test: no entry under `tests:` in {counted(len(loaded.rules), 'rule')}")
    else:
        say(f"{counted(len(results), 'example')}: {len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _write_junit(file: Path, results: Sequence[Any]) -> None:
    from mtrigger.cli.junit import write_junit
    from mtrigger.errors import SettingsError

    try:
        write_junit(file, results)
    except OSError as error:
        raise SettingsError(f"--junit: {file} cannot be written: {error.strerror}") from error


def _judge_events(loaded: RuleSet, given: dict[str, Any], *, as_json: bool) -> int:
    from mtrigger.cli import judgements
    from mtrigger.cli.output import print_json, say
    from mtrigger.trying.judging import judge, previews

    services = _services(loaded)
    listed = []
    failures = 0
    for event, rules in _events(loaded.rules, given):
        if not as_json:
            click.echo(judgements.event_heading(event))
            if event.image == "partial":
                say("(this event carries no document: only its key and the fields it set are known)")
        judged = []
        for rule in rules:
            judgement = judge(rule, event)
            facts = _facts(rule, given)
            actions = previews(rule, event, services, facts) if judgement.fires else []
            failures += sum(action.preview is None for action in actions)
            judged.append(judgements.judgement_json(judgement, actions))
            if not as_json:
                click.echo("\n".join(judgements.judgement_lines(judgement, actions)))
        listed.append(judgements.event_json(event, judged))
    if as_json:
        print_json({"events": listed})
    return 1 if failures else 0


def _facts(rule: Rule, given: dict[str, Any]) -> dict[str, Any]:
    """For a rule with a schedule, the document in the options is what its query finds."""
    from mtrigger import schedules

    if rule.schedule is None or given["document"] is None:
        return {}
    return schedules.facts([_document(given, "document")], 1)


def _services(loaded: RuleSet) -> Any:
    """What previews are rendered with: the sender as `watch` would know it, and no mail server."""
    from mtrigger.actions.services import Services
    from mtrigger.settings import read_mail_settings

    smtp, mail_from = read_mail_settings(os.environ)
    return Services(loaded.templates, None, mail_from or (smtp.default_sender if smtp is not None else ""))


def _events(rules: Sequence[Rule], given: dict[str, Any]) -> list[tuple[Any, Sequence[Rule]]]:
    """The events in the options, each with the rules to hold it against. Raises UsageError, SettingsError."""
    from mtrigger import schedules
    from mtrigger.errors import SettingsError
    from mtrigger.trying.examples import (
        example_namespace,
        made_dead_letter,
        made_event,
        made_message,
        read_events,
    )

    if given["event_file"] is not None:
        try:
            text = click.open_file(given["event_file"], encoding="utf-8-sig").read()
            return [(event, rules) for event in read_events(text)]
        except (OSError, ValueError) as error:  # a file that is not UTF-8 is a ValueError, too
            raise SettingsError(f"{given['event_file']}: {error}") from error
    change = _change(given)
    timed = [rule for rule in rules if rule.schedule is not None]
    consuming = [rule for rule in rules if rule.topic is not None and not change.collection]
    of_changes = [
        rule
        for rule in rules
        if rule.schedule is None
        and rule not in consuming
        and (rule.dead_letters_of is None or change.collection)
    ]
    by_namespace: dict[str, list[Rule]] = {}
    for rule in of_changes:
        by_namespace.setdefault(change.collection or example_namespace(rule), []).append(rule)
    now = datetime.now(UTC)
    try:
        events: list[tuple[Any, Sequence[Rule]]] = [
            (made_event(change.document, change.operation, change.before, namespace, now), group)
            for namespace, group in by_namespace.items()
        ]
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    events += [(schedules.event_of(rule, now), [rule]) for rule in timed]
    events += [(made_message(change.document, rule, now), [rule]) for rule in consuming]
    if others := [rule for rule in rules if rule not in (*of_changes, *timed, *consuming)]:
        events.append((made_dead_letter(change.document, now), others))
    return events


def _change(given: dict[str, Any]) -> _Change:
    before = _document(given, "before") if given["before"] is not None else None
    operation: Operation = given["operation"] or ("insert" if before is None else "update")
    return _Change(_document(given, "document"), before, operation, given["collection"] or "")


def _document(given: dict[str, Any], name: str) -> dict[str, Any]:
    from mtrigger.trying.examples import read_document

    try:
        return read_document(given[name])
    except ValueError as error:
        raise click.UsageError(f"--{name}: {error}") from error
