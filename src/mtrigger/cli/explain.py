"""`mtrigger explain`: what the server sends us, which part of each rule it decides, and what stays here."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from mtrigger.cli.check import topic_json
from mtrigger.cli.options import DurationType, json_option, rule_options, state_db_option, together
from mtrigger.cli.times import schedule_facts, schedule_json
from mtrigger.config_types import format_duration
from mtrigger.pushdown import PushedRule
from mtrigger.rules import Rule

_LONGEST_FILTER = 400
_MOST_NAMES = 5
_FIRE = {
    "once": "once for each document (or message), for ever",
    "entering": "when the condition did not hold before the change",
}
_OPERATIONS = ("insert", "update", "replace", "delete", "dead_letter", "schedule", "message")


@click.command()
@rule_options
@together(
    click.option(
        "--uri",
        metavar="URI",
        default="",
        envvar="MTRIGGER_URI",
        show_envvar=True,
        help="Look at the collections of this MongoDB, too.",
    ),
    click.option(
        "--counts",
        type=DurationType(),
        metavar="DURATION",
        default=None,
        help="Count the changes of the last DURATION there, and those of them that the server would send. "
        "Reads them all, at tens of thousands a second.",
    ),
    state_db_option,
)
@json_option
def explain(
    *,
    rules: Path,
    templates: Path | None,
    uri: str,
    counts: float | None,
    state_db: str,
    as_json: bool,
) -> None:
    """Say what goes to the server and what stays here.

    Shows the one change stream that serves all rules, with its pipeline; then each rule in plain words, with
    the part of its condition that the server decides and the part that is decided here. With --uri it also
    looks at the collections there, and says what `watch` would say about the rules; with --counts, how many
    recent changes the server would have sent.
    """
    if counts is not None and not uri:
        raise click.UsageError("--counts needs --uri: the MongoDB whose changes are counted")
    from mtrigger.cli.output import print_json
    from mtrigger.loading import load

    loaded = load(rules, templates, os.environ)
    document = _explained(loaded.rules, state_db)
    if uri:
        from mtrigger.cli.connecting import run

        document |= run(_looked_up(loaded.rules, uri, state_db, counts))
    if as_json:
        print_json(document)
    else:
        click.echo("\n".join(_lines(document)))


def _explained(rules: Sequence[Rule], state_db: str) -> dict[str, Any]:
    from mtrigger import pushdown

    plan = pushdown.plan(rules, state_db)
    pushed = {found.rule.name: found for found in pushdown.explain(rules)}
    return {
        "stream": {
            "database": plan.database,
            "pipeline": pushdown.pipeline(plan, {}),
            "conditions_pushed": any(found.parts for found in pushed.values()),
            "pre_images": plan.pre_images,
            "hash": plan.hash,
        },
        "rules": [_rule(rule, pushed.get(rule.name)) for rule in rules],
    }


def _rule(rule: Rule, found: PushedRule | None) -> dict[str, Any]:
    """One rule; `found` is what goes to the server of it, None when the rule is not enabled."""
    condition = rule.condition
    return {
        "name": rule.name,
        "file": rule.file,
        "enabled": rule.enabled,
        "collections": list(rule.collections.patterns),
        "dead_letters_of": list(rule.dead_letters_of) if rule.dead_letters_of is not None else None,
        "schedule": schedule_json(rule.schedule) if rule.schedule is not None else None,
        "topic": topic_json(rule.topic),
        "operations": [name for name in _OPERATIONS if name in rule.operations],
        "fields": list(rule.fields),
        "when": condition.text if condition is not None else None,
        "meaning": condition.describe() if condition is not None else None,
        "pushed": found.parts[0].filter if found is not None and found.parts else {},
        "parts": [
            {"operations": list(part.operations), "filter": part.filter, "rules": part.rules}
            for part in (found.parts if found is not None else ())
        ],
        "kept": list(found.kept) if found is not None else [],
        "reason": found.reason if found is not None else "",
        "pre_images": found.pre_images if found is not None else "",
        "fire": rule.fire,
        "absent": None
        if rule.absent is None
        else {"seconds": rule.absent.seconds, "per": list(rule.absent.per)},
        "actions": [action.name for action in (*rule.actions, *rule.resolved)],
    }


async def _looked_up(rules: Sequence[Rule], uri: str, state_db: str, counts: float | None) -> dict[str, Any]:
    """What the deployment adds: the collections each rule means there, what `watch` would say, and how many
    changes of the last `counts` seconds would get through."""
    from mtrigger.cli.connecting import watched
    from mtrigger.deployment import preflight
    from mtrigger.settings import read_mail_settings

    async with watched(uri) as (client, _):
        found = await preflight.survey(client, rules)
        counted = await _counted(client, rules, state_db, counts) if counts is not None else {}
    smtp, _ = read_mail_settings(os.environ)
    findings = preflight.findings(rules, found, smtp)
    existing = found.images if found is not None else {}
    return {
        "collections": {
            rule.name: sorted(name for name in existing if rule.collections.include(name)) for rule in rules
        },
        "findings": [
            {"rule": finding.rule, "message": finding.message, "grave": finding.grave} for finding in findings
        ],
        **counted,
    }


async def _counted(client: Any, rules: Sequence[Rule], state_db: str, seconds: float) -> dict[str, Any]:
    from bson.timestamp import Timestamp

    from mtrigger import pushdown
    from mtrigger.deployment.connecting import current_time, oldest_time
    from mtrigger.reading.traffic import traffic

    until = await current_time(client)
    since = Timestamp(max(0, until.time - int(seconds)), 1)
    oldest = await oldest_time(client)
    if oldest is not None:
        since = max(since, oldest)
    found = await traffic(client, pushdown.plan(rules, state_db), since, until)
    return {
        "counts": {
            "since": since.as_datetime(),
            "changes": found.all,
            "of_the_rules_collections": found.wanted_kinds,
            "let_through": found.let_through,
        }
    }


def _lines(document: dict[str, Any]) -> Iterator[str]:
    from mtrigger.cli.output import one_line, pretty

    stream = document["stream"]
    scope = f"the database {stream['database']}" if stream["database"] else "the whole deployment"
    yield f"One change stream over {scope}:"
    yield pretty(stream["pipeline"])
    needing = [rule["name"] for rule in document["rules"] if rule["pre_images"]]
    yield one_line(
        f"Changes come with the document before them, where it is kept: needed by {_some(needing)}"
        if needing
        else "Changes come without the document before them: no rule needs it"
    )
    if "counts" in document:
        yield from _counts(document["counts"])
    for rule in document["rules"]:
        yield ""
        yield f"{rule['name']}  ({rule['file']})"
        for name, text in _facts(rule, document.get("collections", {})):
            yield f"  {name:9}{one_line(text)}"
    if document.get("findings"):
        yield ""
        for finding in document["findings"]:
            grave = "`watch` would not start: " if finding["grave"] else ""
            yield one_line(f"{grave}rule {finding['rule']}: {finding['message']}")


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _counts(counts: dict[str, Any]) -> Iterator[str]:
    from mtrigger.cli.output import counted, iso

    yield ""
    yield f"Of {counted(counts['changes'], 'change')} since {iso(counts['since'])}"
    yield f"  {counts['of_the_rules_collections']} had the operations and collections of the rules"
    yield f"  {counts['let_through']} would have been sent"


def _facts(rule: dict[str, Any], collections: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """What there is to say about one rule, under one-word headings."""

    if rule["dead_letters_of"] is not None:
        yield "events", f"deliveries that die, of {', '.join(rule['dead_letters_of']) or 'every rule'}"
    elif rule["schedule"] is not None:
        yield from schedule_facts(rule["schedule"])
        if not rule["enabled"]:
            yield "enabled", "no: it does nothing"
        yield "does", ", ".join(rule["actions"])
        return
    elif rule["topic"] is not None:
        source = rule["topic"]
        yield "events", f"messages of the topic {source['name']}, read by the group {source['group']}"
    else:
        yield "events", f"{', '.join(rule['operations'])} in {', '.join(rule['collections'])}"
    if collections.get(rule["name"]) is not None and rule["collections"]:
        yield "there", ", ".join(collections[rule["name"]]) or "no such collection yet"
    if rule["fields"]:
        yield "fields", f"updates only when they touch {' or '.join(rule['fields'])}"
    if not rule["enabled"]:
        yield "enabled", "no: it does nothing"
    else:
        yield from _condition(rule)
    if rule["fire"] != "always":
        yield "fires", _FIRE[rule["fire"]]
    if rule["absent"] is not None:
        per = ", ".join(rule["absent"]["per"])
        each = f" for one and the same {per}" if per else ""
        yield "fires", f"when nothing of this has come{each} for {format_duration(rule['absent']['seconds'])}"
    if rule["pre_images"]:
        yield "before", f"needs the document before a change: {rule['pre_images']}"
    yield "does", ", ".join(rule["actions"])


def _condition(rule: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if rule["when"] is None:
        yield "when", "always: it has no condition"
        return
    yield "when", rule["when"]
    yield "means", rule["meaning"]
    if rule["topic"] is not None:
        return  # nothing of it goes to the server
    yield from (("server", line) for line in _on_the_server(rule))
    if rule["kept"]:
        reason = f"  ({rule['reason']})" if rule["reason"] else ""
        yield "here", f"{'; '.join(rule['kept'])}{reason}"
    else:
        yield "here", "nothing is left to decide"


def _on_the_server(rule: dict[str, Any]) -> Iterator[str]:
    """What the server is asked for the rule's sake, a line for each kind of event."""
    from mtrigger.cli.output import counted, relaxed

    for part in rule["parts"]:
        for_whom = f", for {counted(part['rules'], 'rule')}" if part["rules"] > 1 else ""
        filter_ = relaxed(part["filter"])
        if len(filter_) > _LONGEST_FILTER:
            filter_ = f"{filter_[:_LONGEST_FILTER]}… (whole with --json)"
        yield f"{filter_}  ({' and '.join(part['operations'])}{for_whom})"
    if not rule["parts"]:
        yield "nothing of the condition"
