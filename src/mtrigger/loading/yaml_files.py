"""YAML files on disk to mappings with everything filled in; what rule files and source files have in common.

Promise: a file that cannot be read, decoded or parsed is a mistake with its place, like any other.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from mtrigger.loading import nodes
from mtrigger.loading.interpolation import Surroundings, fill_in
from mtrigger.loading.nodes import Report, Source
from mtrigger.loading.yaml_source import read_documents

SUFFIXES = (".yaml", ".yml")


def mappings(file: Path, environ: Mapping[str, str], report: Report, keys: str) -> Iterator[nodes.Mapping]:
    """The documents of `file`, with `${…}` filled in. `keys` names some of those that are expected there."""
    try:
        content = file.read_bytes()
    except OSError as error:
        report.add_at(str(file), 1, 1, f"the file cannot be read: {error.strerror}")
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        report.add_at(str(file), line, column, "the file is not UTF-8 text; save it as UTF-8")
        return
    source = Source(str(file), text)
    for node in read_documents(source, report):
        filled = fill_in(node, Surroundings(environ, file.parent), report)
        if isinstance(filled, nodes.Mapping):
            yield filled
        else:
            report.add(filled.place, f"`key: value` lines are expected here ({keys})")


def yaml_files(folder: Path, report: Report) -> Iterator[Path]:
    """The YAML files of `folder` and of those in it, sorted. Hidden ones are left out, which also skips the
    `..data` folders of Kubernetes volumes, and so are links that lead in circles."""
    yield from _within(folder, report, frozenset())


def _within(folder: Path, report: Report, above: frozenset[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:
        return
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        report.add_at(str(folder), 1, 1, f"the folder cannot be read: {error.strerror}")
        return
    for entry in entries:
        if entry.is_dir():
            yield from _within(entry, report, above | {real})
        elif entry.suffix in SUFFIXES:
            yield entry
