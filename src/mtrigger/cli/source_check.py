"""`mtrigger source check`: what is wrong with sources, and the first rows as they would be stored."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from mtrigger.cli.output import counted, pretty, print_json, printable, say
from mtrigger.errors import ConnectionLostError, RulesError, SourceError
from mtrigger.messages import name_mistake
from mtrigger.sources.definition import Source
from mtrigger.sources.landing import message_of, named
from mtrigger.sources.pages import Page, Row, Tables
from mtrigger.sources.worker import chosen, connect, words_of


def checked(folder: Path, names: Sequence[str], *, offline: bool, rows: int, as_json: bool) -> int:
    """Check, and print what was found. Returns the exit code."""
    try:
        sources = chosen(folder, os.environ, names)
    except RulesError as error:
        _print_mistakes(error, as_json=as_json)
        return 1
    found = [_source(source, offline=offline, rows=rows) for source in sources]
    grave = sum(1 for document in found for finding in document["findings"] if finding["grave"])
    if as_json:
        print_json({"sources": found, "mistakes": []})
    else:
        click.echo("\n\n".join("\n".join(_lines(document)) for document in found))
    say(f"{counted(len(found), 'source')}: {counted(grave, 'mistake') if grave else 'no mistakes'}")
    return 1 if grave else 0


def _print_mistakes(error: RulesError, *, as_json: bool) -> None:
    if as_json:
        mistakes = [
            {"file": mistake.file, "line": mistake.line, "column": mistake.column, "message": mistake.message}
            for mistake in error.mistakes
        ]
        print_json({"sources": [], "mistakes": mistakes})
    else:
        click.echo(printable(str(error)))
    say(counted(len(error.mistakes), "mistake"))


def _source(source: Source, *, offline: bool, rows: int) -> dict[str, Any]:
    """All there is to say about one source."""
    document: dict[str, Any] = {
        "name": source.name,
        "file": source.file,
        "enabled": source.enabled,
        "does": words_of(source),
        "findings": [],
        "tables": [],
    }
    if offline:
        return document
    try:
        tables = connect(source)
        try:
            document["findings"] = [
                {"table": finding.table, "grave": finding.grave, "text": finding.text}
                for finding in tables.findings()
            ]
            broken = {finding["table"] for finding in document["findings"] if finding["grave"]}
            names = [name for name in tables.names() if name not in broken]
            document["findings"] += [*_wrong_names(source, names), *_hints(source, names)]
            document["tables"] = [_table(source, tables, name, rows) for name in names]
        finally:
            tables.close()
    except (ConnectionLostError, SourceError) as error:
        document["findings"].append({"table": "", "grave": True, "text": str(error)})
    return document


def _wrong_names(source: Source, tables: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Tables whose names make no name of a topic."""
    for table in tables:
        topic = named(source.destination.topic, table)
        if topic and (mistake := name_mistake(topic)):
            yield {"table": table, "grave": True, "text": mistake}


def _hints(source: Source, tables: Sequence[str]) -> list[dict[str, Any]]:
    """What is worth knowing of where rows go."""
    into, hints = source.destination, []
    collections = Counter(named(into.collection, table) for table in tables)
    for collection, count in collections.items() if into.collection else ():
        if count > 1:
            hints.append(
                f"{count} tables go into the collection {collection}: rows with the same key overwrite each "
                "other; {table} in its name parts tables of one schema, a source for each schema the others"
            )
    if into.topic and source.query.mode == "bulk":
        hints.append(
            "with `mode: bulk` every row is published at each poll; `snapshot` publishes changes alone"
        )
    return [{"table": "", "grave": False, "text": text} for text in hints]


def _table(source: Source, tables: Tables, name: str, rows: int) -> dict[str, Any]:
    pages = tables.pages(name, {})
    try:
        page: Page | None = next(pages, None)
    finally:
        if (close := getattr(pages, "close", None)) is not None:
            close()
    found = page.rows[:rows] if page is not None else ()
    rejected = page.rejected[:rows] if page is not None else ()
    into = source.destination
    return {
        "table": name,
        "into": named(into.collection or into.topic, name),
        "rows": page.expected if page is not None else None,
        "first": [_stored(source, name, row) for row in found],
        "rejected": [{"key": row.key, "why": row.why} for row in rejected],
    }


def _stored(source: Source, table: str, row: Row) -> Mapping[str, Any]:
    """The document, or the message, that `row` becomes."""
    if source.destination.collection:
        return {"_id": row.key, **row.values}
    message = message_of(source.name, table, row, "")
    return {"key": message.key, "headers": message.headers, "body": message.body}


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    off = "" if document["enabled"] else "  (not enabled)"
    yield f"{document['name']}: {document['does']}{off}"
    for finding in document["findings"]:
        of = f"{finding['table']}: " if finding["table"] else ""
        yield printable(f"  {'wrong' if finding['grave'] else 'note'}: {of}{finding['text']}")
    for table in document["tables"]:
        count = f"about {table['rows']:,} rows" if table["rows"] is not None else "rows"
        shown = "; the first ones:" if table["first"] or table["rejected"] else ""
        yield printable(f"  {table['table']}: {count} into {table['into']}{shown}")
        for row in table["first"]:
            yield f"    {pretty(row, '    ')}"
        for row in table["rejected"]:
            yield printable(f"    cannot be stored: {row['key']}: {row['why']}")
