"""`mtrigger schema`: the JSON Schemas of rule and source files, for editors that complete and check while
one types, and the reference that is made from them."""

import json
from pathlib import Path
from typing import Any

import click

from mtrigger.loading.folder_defaults import FolderDefaults, defaults_of
from mtrigger.loading.schema import defaults_schema, rule_file_schema, source_file_schema

FILE = "triggers.schema.json"
"""What the schema is called by the first rule that `mtrigger init` writes."""


@click.command()
@click.option(
    "--rules",
    type=click.Path(path_type=Path),
    default=None,
    help="The folder whose rules it is for: its channels are known, its defaults are not required.",
)
@click.option("--defaults", is_flag=True, default=False, help="The schema of _defaults.yaml instead.")
@click.option("--sources", is_flag=True, default=False, help="The schema of a source file instead.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "markdown"]),
    default="json",
    show_default=True,
    help="JSON Schema for an editor, or a page to read: the reference of all keys.",
)
def schema(*, rules: Path | None, defaults: bool, sources: bool, form: str) -> None:
    """Print the JSON Schema of a rule file, or of another kind of file.

    Begin a rule file with `# yaml-language-server: $schema=../triggers.schema.json`, and editors with a YAML
    language server complete keys and mark mistakes.
    """
    if sum((rules is not None, defaults, sources)) > 1:
        raise click.UsageError("--rules, --defaults and --sources exclude each other: leave out all but one")
    if form == "markdown":
        if rules is not None or defaults or sources:
            raise click.UsageError(
                "the reference is of all keys of rules: leave --rules, --defaults, --sources out"
            )
        from mtrigger.loading.reference import reference

        click.echo(reference(), nl=False)
    elif sources:
        click.echo(as_text(source_file_schema()), nl=False)
    elif defaults:
        click.echo(as_text(defaults_schema()), nl=False)
    else:
        given = defaults_of(rules) if rules is not None else FolderDefaults()
        click.echo(as_text(rule_file_schema(given)), nl=False)


def as_text(document: dict[str, Any]) -> str:
    """A schema as it is written into a file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
