"""`mtrigger graph`: a picture of what flows where, drawn from the rules and sources themselves."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from mtrigger.cli.options import rule_options
from mtrigger.errors import SettingsError
from mtrigger.graphing.flow import Flow
from mtrigger.graphing.svg import Direction


@click.command()
@rule_options
@click.option(
    "--sources",
    type=click.Path(path_type=Path),
    default=None,
    envvar="MTRIGGER_SOURCES",
    show_envvar=True,
    help="Folder of the sources, or one file: they are drawn, too.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["svg", "mermaid", "json"]),
    default="svg",
    show_default=True,
    help="A picture; a chart for Markdown; boxes and arrows for a program.",
)
@click.option(
    "--direction",
    type=click.Choice(["auto", "right", "down"]),
    default="auto",
    show_default=True,
    help="Where it flows to; by itself, to the right unless that is too wide for a page.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="The file to write.  [default: standard output]",
)
def graph(
    *,
    rules: Path,
    templates: Path | None,
    sources: Path | None,
    form: str,
    direction: Direction,
    output: Path | None,
) -> None:
    """Draw what flows where.

    Tables, sources, topics and collections, the rules between them, and where their actions end. Of addresses
    only the host is drawn: a picture holds no secrets.
    """
    from mtrigger.graphing.tracing import flow_of
    from mtrigger.loading import load
    from mtrigger.loading.source_files import load_sources

    found = load(rules, templates, os.environ).rules
    read = load_sources(sources, os.environ).sources if sources is not None else ()
    text = _text(flow_of(found, read), form, direction)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{output} cannot be written: {error.strerror}; check --output") from None


def _text(flow: Flow, form: str, direction: Direction) -> str:
    if form == "json":
        return json.dumps(asdict(flow), indent=2, ensure_ascii=False) + "\n"
    if form == "mermaid":
        from mtrigger.graphing.mermaid import chart

        return chart(flow, direction)
    from mtrigger.graphing.svg import picture

    return picture(flow, direction)
