"""`mtrigger prepare`: turn on the pre- and post-images that rules need."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from mtrigger.cli.addresses import watched_option
from mtrigger.cli.options import json_option, rule_options
from mtrigger.deployment.images import Preparation
from mtrigger.rules import Rule


@click.command()
@rule_options
@watched_option
@click.option("--dry-run", is_flag=True, default=False, help="Show the commands and run none.")
@click.option("--yes", is_flag=True, default=False, help="Do not ask.")
@json_option
def prepare(
    *, rules: Path, templates: Path | None, uri: str, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Turn on pre- and post-images where conditions need them.

    A condition that speaks of `before`, or of the document of a delete, needs the document as it was. MongoDB
    keeps it for collections with `changeStreamPreAndPostImages`: this shows the command for each collection
    that lacks it, asks, and runs them. A collection that does not exist yet is created. MongoDB keeps the
    images for as long as the oplog reaches back, which takes space. Exits with 1 when a command fails.
    """
    from mtrigger.cli.addresses import watched_uri
    from mtrigger.cli.connecting import run
    from mtrigger.cli.output import confirmed, counted, print_json, say
    from mtrigger.loading import load

    found = load(rules, templates, os.environ)
    where = watched_uri(uri)
    wanted = run(_wanted(found.rules, where))
    if not as_json:
        for preparation in wanted:
            click.echo(f"{_shown(preparation)}   for {', '.join(preparation.rules)}")
    if not wanted:
        say("nothing to do: every collection keeps the images that the rules need")
    elif dry_run:
        say(f"{counted(len(wanted), 'command')} to run; --dry-run: none was run")
    go = bool(wanted) and not dry_run and confirmed(f"Run {counted(len(wanted), 'command')}?", yes)
    failures = run(_prepare(wanted, where)) if go else {}
    if as_json:
        print_json({"commands": [_as_json(preparation, failures, ran=go) for preparation in wanted]})
    for namespace, failure in failures.items():
        say(f"{namespace}: {failure}")
    if go:
        say(f"{counted(len(wanted) - len(failures), 'collection')} prepared, {len(failures)} failed")
    sys.exit(1 if failures else 0)


def _shown(preparation: Preparation) -> str:
    """The command as one would type it in mongosh."""
    from mtrigger.cli.output import relaxed

    return f"db.getSiblingDB({relaxed(preparation.database)}).runCommand({relaxed(preparation.document)})"


def _as_json(preparation: Preparation, failures: dict[str, str], *, ran: bool) -> dict[str, Any]:
    failure = failures.get(preparation.namespace)
    return {
        "namespace": preparation.namespace,
        "command": preparation.document,
        "rules": list(preparation.rules),
        "done": ran and failure is None,
        "error": failure,
    }


async def _wanted(rules: Sequence[Rule], uri: str) -> list[Preparation]:
    from mtrigger.cli.connecting import watched
    from mtrigger.deployment import preflight
    from mtrigger.deployment.images import preparations
    from mtrigger.errors import DeploymentError

    async with watched(uri) as (client, _):
        found = await preflight.survey(client, rules)
    if found is None:
        raise DeploymentError(
            "This user may not list the collections: grant the role `read` (to look) and `dbAdmin` (to turn "
            "images on) on the databases the rules watch."
        )
    return preparations(rules, found.images)


async def _prepare(wanted: Sequence[Preparation], uri: str) -> dict[str, str]:
    """Run the commands; the reasons of those that failed, by namespace."""
    from pymongo.errors import OperationFailure

    from mtrigger.cli.connecting import watched
    from mtrigger.deployment.connecting import reason

    failures = {}
    async with watched(uri) as (client, _):
        for preparation in wanted:
            try:
                await client[preparation.database].command(dict(preparation.document))
            except OperationFailure as error:
                failures[preparation.namespace] = reason(error)
    return failures
