"""`mtrigger check`: every mistake of every rule file at once, or what the rules are."""

import gc
import json
import os
import sys
from pathlib import Path

import click

from mtrigger import actions
from mtrigger.cli.options import json_option, rule_options
from mtrigger.cli.output import counted, printable
from mtrigger.cli.times import next_times, schedule_json
from mtrigger.errors import RulesError
from mtrigger.loading import RuleSet, load
from mtrigger.pushdown.pre_images import needed
from mtrigger.quiet import TopicSource
from mtrigger.rules import Rule

_ORDER = ("insert", "update", "replace", "delete", "dead_letter", "schedule", "message")


@click.command()
@rule_options
@json_option
def check(*, rules: Path, templates: Path | None, as_json: bool) -> None:
    """Check all rules, their conditions, templates and functions.

    Prints every mistake as file:line:column: message and exits with 1, or lists the rules.
    """
    gc.disable()  # one short load: what it makes is needed to the end
    for warning in actions.left_aside():
        click.echo(f"warning: {printable(warning)}", err=True)
    try:
        found = load(rules, templates, os.environ)
    except RulesError as error:
        _print_mistakes(error, as_json=as_json)
        sys.exit(1)
    if as_json:
        listed = {
            "rules": [_as_json(rule) for rule in found.rules],
            "files": len(found.files),
            "mistakes": [],
        }
        click.echo(json.dumps(listed, indent=2, ensure_ascii=False))
    else:
        click.echo(_listing(found))
        for rule in found.rules:
            if rule.schedule is not None and rule.enabled:
                click.echo(f"{rule.name}: {next_times(rule.schedule)}")
    click.echo(
        f"{counted(len(found.rules), 'rule')} in {counted(len(found.files), 'file')}: no mistakes", err=True
    )
    if needing := [rule.name for rule in found.rules if needed(rule)]:
        click.echo(
            "their collections must keep pre-images (`mtrigger prepare` turns them on): "
            f"{', '.join(needing)}",
            err=True,
        )


def _print_mistakes(error: RulesError, *, as_json: bool) -> None:
    if as_json:
        listed = [
            {"file": mistake.file, "line": mistake.line, "column": mistake.column, "message": mistake.message}
            for mistake in error.mistakes
        ]
        click.echo(json.dumps({"rules": [], "mistakes": listed}, indent=2, ensure_ascii=False))
    else:
        click.echo(printable(str(error)))
    files = {mistake.file for mistake in error.mistakes}
    click.echo(f"{counted(len(error.mistakes), 'mistake')} in {counted(len(files), 'file')}", err=True)


def _operations(rule: Rule) -> list[str]:
    return [operation for operation in _ORDER if operation in rule.operations]


def _as_json(rule: Rule) -> dict[str, object]:
    return {
        "name": rule.name,
        "description": rule.description,
        "file": rule.file,
        "enabled": rule.enabled,
        "collections": list(rule.collections.patterns),
        "dead_letters_of": list(rule.dead_letters_of) if rule.dead_letters_of is not None else None,
        "schedule": schedule_json(rule.schedule) if rule.schedule is not None else None,
        "topic": topic_json(rule.topic),
        "operations": _operations(rule),
        "fields": list(rule.fields),
        "when": rule.condition.text if rule.condition else None,
        "fire": rule.fire,
        "needs_images": needed(rule),
        "actions": [action.name for action in (*rule.actions, *rule.resolved)],
    }


def topic_json(source: TopicSource | None) -> dict[str, str] | None:
    """Which messages a rule consumes, for `--json`."""
    return None if source is None else {"name": source.name, "group": source.group, "from": source.start}


def _source(rule: Rule) -> str:
    if rule.dead_letters_of is not None:
        return "dead letters"
    if rule.schedule is not None:
        return rule.schedule.cron
    if rule.topic is not None:
        return f"topic {rule.topic.name}"
    return ", ".join(rule.collections.patterns)


def _listing(found: RuleSet) -> str:
    """The rules in aligned columns: name, collections (or dead letters), operations, actions."""
    rows = [
        (
            rule.name,
            _source(rule),
            ", ".join(_operations(rule)),
            ", ".join(action.name for action in (*rule.actions, *rule.resolved))
            + ("" if rule.enabled else "  (not enabled)"),
        )
        for rule in found.rules
    ]
    widths = [min(40, max(len(row[column]) for row in rows)) for column in range(3)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, (*widths, 0), strict=True)).rstrip()
        for row in rows
    )
