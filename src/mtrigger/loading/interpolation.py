"""`${NAME}`, `${NAME:-default}` and `${file:/run/secrets/x}` in values, filled in after YAML was read.

What is filled in is only ever text inside one value, so a secret can never change a file's structure. `$${`
stands for a literal `${`. The report is told every value that came from outside, and keeps it out of all
messages.
"""

import re
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, replace
from pathlib import Path

from mtrigger.config_types import FilledText, closest
from mtrigger.loading.nodes import Entry, Fill, Mapping, Node, Report, Scalar, Sequence
from mtrigger.loading.scalar_text import place_of

LONGEST_SECRET = 64 * 1024
_PLACEHOLDER = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where values come from: the environment, and the folder that relative `${file:…}` paths start in."""

    environ: MappingABC[str, str]
    folder: Path


def fill_in(node: Node, surroundings: Surroundings, report: Report) -> Node:
    """`node` with every placeholder in its values filled in; what cannot be filled in goes to `report`."""
    if "${" not in node.place.source.text:
        return node
    return _fill(node, surroundings, report)


def _fill(node: Node, surroundings: Surroundings, report: Report) -> Node:
    if isinstance(node, Scalar):
        return _fill_scalar(node, surroundings, report) if "${" in node.raw else node
    if isinstance(node, Sequence):
        return replace(node, items=tuple(_fill(item, surroundings, report) for item in node.items))
    entries = {
        key: Entry(entry.place, _fill(entry.node, surroundings, report))
        for key, entry in node.entries.items()
    }
    return Mapping(node.place, entries)


def _fill_scalar(scalar: Scalar, surroundings: Surroundings, report: Report) -> Scalar:
    text = ""
    fills: list[Fill] = []
    end = 0
    missing = False
    for match in _PLACEHOLDER.finditer(scalar.raw):
        text += scalar.raw[end : match.start()]
        end = match.end()
        found = _meaning(match, surroundings)
        if isinstance(found, _Missing):
            report.add(place_of(scalar, match.start()), found.message)
            found, missing = _Found("", secret=False), True
        if found.secret:
            report.hide(found.text, match[0])
        fills.append(Fill(match[0], match.start(), len(text), len(text) + len(found.text), found.secret))
        text += found.text
    text += scalar.raw[end:]
    if missing:
        report.give_up(scalar.place)
    whole = len(fills) == 1 and fills[0].raw == scalar.raw and not fills[0].raw.startswith("$$")
    return replace(scalar, value=FilledText(text) if whole else text, fills=tuple(fills))


@dataclass(frozen=True, slots=True)
class _Found:
    text: str
    secret: bool


@dataclass(frozen=True, slots=True)
class _Missing:
    message: str


def _meaning(match: re.Match[str], surroundings: Surroundings) -> _Found | _Missing:
    if match[0] == "$${":
        return _Found("${", secret=False)
    if not match[2]:
        return _Missing("`${` without its `}`; write `$${` for a literal `${`")
    if match[1].startswith("file:"):
        return _from_file(match[1].removeprefix("file:"), surroundings.folder)
    variable = _VARIABLE.fullmatch(match[1])
    if variable is None:
        return _Missing(
            f"`{match[0]}` is neither ${{NAME}}, ${{NAME:-default}} nor ${{file:/path}}; "
            "write `$${` for a literal `${`"
        )
    name, default = variable[1], variable[2]
    value = surroundings.environ.get(name)
    if value or (value is not None and default is None):
        return _Found(value, secret=True)
    if default is not None:
        return _Found(default, secret=False)
    near = closest(name, surroundings.environ)
    hint = f"did you mean `{near}`?" if near else f"set it, or give a default: ${{{name}:-…}}"
    return _Missing(f"the environment variable `{name}` is not set; {hint}")


def _from_file(name: str, folder: Path) -> _Found | _Missing:
    path = folder / name
    try:
        content = path.read_bytes()
    except OSError as error:
        return _Missing(f"the file `{name}` cannot be read: {error.strerror or type(error).__name__}")
    if len(content) > LONGEST_SECRET:
        return _Missing(f"the file `{name}` is longer than {LONGEST_SECRET // 1024} KiB: not a value")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return _Missing(f"the file `{name}` is not UTF-8 text")
    return _Found(text.removesuffix("\n").removesuffix("\r"), secret=True)
