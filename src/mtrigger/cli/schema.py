"""`mtrigger schema`: the JSON Schema of a rule file, for editors that complete and check while one types."""

import json

import click

from mtrigger.loading.schema import rule_file_schema


@click.command()
def schema() -> None:
    """Print the JSON Schema of a rule file.

    Begin a rule file with `# yaml-language-server: $schema=triggers.schema.json`, and editors with a YAML
    language server complete keys and mark mistakes.
    """
    click.echo(json.dumps(rule_file_schema(), indent=2, ensure_ascii=False))
