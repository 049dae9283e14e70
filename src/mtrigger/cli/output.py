"""How the operator's commands show things: aligned tables, ages, times, documents, and one JSON document.

Keeps one promise: what comes from a document, a server or a template is shown, never obeyed: control
characters are written as escapes, so that a document cannot steer a terminal.
"""

import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

_DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Turn the direction of writing around (Unicode Standard Annex 9), and so can show a text as another one."""

_LINE = 100
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def print_json(document: Mapping[str, Any]) -> None:
    """Print `document` on standard output; BSON values become relaxed Extended JSON."""
    click.echo(relaxed(document, indent=2))


def relaxed(value: Any, *, indent: int | None = None) -> str:
    """`value` as relaxed Extended JSON (MongoDB Extended JSON v2)."""
    from bson import json_util

    options = json_util.RELAXED_JSON_OPTIONS
    text = json_util.dumps(value, json_options=options, indent=indent, ensure_ascii=False)
    return _escaped(text, "\n")  # the escapes are JSON's own, so it is still the same JSON


def pretty(value: Any, margin: str = "") -> str:
    """The same for people: what fits stays on a line, everything else has a line for each of its parts."""
    line = relaxed(value)
    if len(margin) + len(line) <= _LINE or not isinstance(value, Mapping | list | tuple) or not value:
        return line
    inner = f"{margin}  "
    if isinstance(value, Mapping):
        parts = [f"{relaxed(name)}: {pretty(part, inner)}" for name, part in value.items()]
    else:
        parts = [pretty(part, inner) for part in value]
    opening, closing = "{}" if isinstance(value, Mapping) else "[]"
    return opening + "".join(f"\n{inner}{part}," for part in parts)[:-1] + f"\n{margin}{closing}"


def printable(text: str) -> str:
    """`text` with its line ends and tabs, everything else that could steer a terminal as an escape."""
    return _escaped(text, "\n\t")


def one_line(text: str) -> str:
    """`text` in one printable line."""
    return printable(" ".join(text.split()))


def _escaped(text: str, kept: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"\\u{ord(c):04x}" if _steers(c) and c not in kept else c for c in text)


def _steers(character: str) -> bool:
    """Whether a terminal would obey `character` (or could not write it: half a surrogate pair)."""
    return character in _DIRECTIONS or unicodedata.category(character) in ("Cc", "Cs")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of one-line texts, aligned by the cells a terminal gives them."""
    from rich.cells import cell_len

    lines = [list(headings), *([one_line(text) for text in row] for row in rows)]
    widths = [max(cell_len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join(
        "  ".join(
            text + " " * (width - cell_len(text)) for text, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def span(seconds: float) -> str:
    """A stretch of time in its two largest units: "3d 4h", "2m 5s", "0s"."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for size, unit in _UNITS:
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size}{unit}")
            left %= size
        if len(parts) == 2 or (parts and not left):
            break
    return " ".join(parts)


def iso(moment: datetime | None) -> str:
    """A time in UTC, to the millisecond if it has any; "" for none."""
    if moment is None:
        return ""
    precision = "milliseconds" if moment.microsecond else "seconds"
    return moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def counted(number: int, noun: str) -> str:
    """`number` and `noun`: "1 rule", "2 rules", "0 deliveries"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun.removesuffix('y')}ies" if noun.endswith("y") else f"{number:,} {noun}s"


def say(message: str) -> None:
    """A message to the person at the terminal: on standard error."""
    click.echo(printable(message), err=True)


def confirmed(question: str, yes: bool) -> bool:  # noqa: FBT001 - what `--yes` said
    """Ask `question` on standard error, unless `--yes` was given.

    Raises UsageError when nobody is there to answer.
    """
    if yes:
        return True
    try:
        return click.confirm(printable(question), err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise click.UsageError("nobody is there to be asked: pass --yes if this is what you want") from None
