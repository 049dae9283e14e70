"""`mtrigger explain`: what the server sends us, which part of each rule it decides, and what stays here."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from mtrigger.cli.options import json_option, rule_options, state_db_option, together
from mtrigger.pushdown import PushedRule
from mtrigger.rules import Rule

_OPERATIONS = ("insert", "update", "replace", "delete", "dead_letter")
_NO_CONDITIONS = "with this many rules the server filters by collection and operation alone"


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
    state_db_option,
)
@json_option
def explain(*, rules: Path, templates: Path | None, uri: str, state_db: str, as_json: bool) -> None:
    """Say what goes to the server and what stays here.

    Shows the one change stream that serves all rules, with its pipeline; then each rule in plain words, with
    the part of its condition that the server decides and the part that is decided here. With --uri it also
    looks at the collections there, and says what `watch` would say about the rules.
    """
    from mtrigger.cli.output import print_json
    from mtrigger.loading import load

    loaded = load(rules, templates, os.environ)
    document = _explained(loaded.rules, state_db)
    if uri:
        from mtrigger.cli.connecting import run

        document |= run(_looked_up(loaded.rules, uri))
    if as_json:
        print_json(document)
    else:
        click.echo("\n".join(_lines(document)))


def _explained(rules: Sequence[Rule], state_db: str) -> dict[str, Any]:
    from mtrigger import pushdown

    plan = pushdown.plan(rules, state_db)
    pushed = {found.rule.name: found for found in pushdown.explain(rules)}
    conditions_go = pushdown.pushes_conditions(rules)
    return {
        "stream": {
            "database": plan.database,
            "pipeline": pushdown.pipeline(plan, {}),
            "conditions_pushed": conditions_go,
            "hash": plan.hash,
        },
        "rules": [_rule(rule, pushed.get(rule.name), conditions_go=conditions_go) for rule in rules],
    }


def _rule(rule: Rule, found: PushedRule | None, *, conditions_go: bool) -> dict[str, Any]:
    """One rule; `found` is what goes to the server of it, None when the rule is not enabled."""
    condition = rule.condition
    if condition is None or found is None:
        pushed, kept, reason = {}, [], ""
    elif conditions_go:
        pushed, kept, reason = found.pushed, list(found.kept), found.reason
    else:
        pushed, kept, reason = {}, [condition.text], _NO_CONDITIONS
    return {
        "name": rule.name,
        "file": rule.file,
        "enabled": rule.enabled,
        "collections": list(rule.collections.patterns),
        "dead_letters_of": list(rule.dead_letters_of) if rule.dead_letters_of is not None else None,
        "operations": [name for name in _OPERATIONS if name in rule.operations],
        "fields": list(rule.fields),
        "when": condition.text if condition is not None else None,
        "meaning": condition.describe() if condition is not None else None,
        "pushed": pushed,
        "kept": kept,
        "reason": reason,
        "actions": [action.name for action in rule.actions],
    }


async def _looked_up(rules: Sequence[Rule], uri: str) -> dict[str, Any]:
    """What the deployment adds: the collections each rule means there, and what `watch` would say."""
    from mtrigger.cli.connecting import watched
    from mtrigger.deployment import preflight
    from mtrigger.settings import read_mail_settings

    async with watched(uri) as (client, _):
        found = await preflight.survey(client, rules)
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
    }


def _lines(document: dict[str, Any]) -> Iterator[str]:
    from mtrigger.cli.output import one_line, pretty

    stream = document["stream"]
    scope = f"the database {stream['database']}" if stream["database"] else "the whole deployment"
    yield f"One change stream over {scope}:"
    yield pretty(stream["pipeline"])
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


def _facts(rule: dict[str, Any], collections: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """What there is to say about one rule, under one-word headings."""

    if rule["dead_letters_of"] is not None:
        yield "events", f"deliveries that die, of {', '.join(rule['dead_letters_of']) or 'every rule'}"
    else:
        yield "events", f"{', '.join(rule['operations'])} in {', '.join(rule['collections'])}"
    if collections.get(rule["name"]) is not None and rule["dead_letters_of"] is None:
        yield "there", ", ".join(collections[rule["name"]]) or "no such collection yet"
    if rule["fields"]:
        yield "fields", f"updates only when they touch {' or '.join(rule['fields'])}"
    if not rule["enabled"]:
        yield "enabled", "no: it does nothing"
    elif rule["when"] is None:
        yield "when", "always: it has no condition"
    else:
        yield "when", rule["when"]
        yield "means", rule["meaning"]
        yield "server", _on_the_server(rule)
        if rule["kept"]:
            reason = f"  ({rule['reason']})" if rule["reason"] else ""
            yield "here", f"{'; '.join(rule['kept'])}{reason}"
        else:
            yield "here", "nothing is left to decide"
    yield "does", ", ".join(rule["actions"])


def _on_the_server(rule: dict[str, Any]) -> str:
    from mtrigger.cli.output import relaxed

    if not rule["pushed"]:
        return "nothing of the condition"
    whole = [name for name in rule["operations"] if name in ("insert", "replace")]
    if not whole:
        return "nothing of the condition"
    return f"{relaxed(rule['pushed'])}  (for {' and '.join(whole)})"
