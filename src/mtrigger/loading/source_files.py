"""A folder of source files to sources, or to every mistake of every file.

Files that end in `.yaml` or `.yml` are read, in sub-folders too, hidden ones are not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mtrigger.errors import RulesError, SettingsError
from mtrigger.loading import nodes
from mtrigger.loading.nodes import Place, Report, find, place_of
from mtrigger.loading.on_models import valid_name
from mtrigger.loading.source_models import SourceFile
from mtrigger.loading.source_urls import completed
from mtrigger.loading.validation import validate
from mtrigger.loading.yaml_files import mappings, yaml_files
from mtrigger.sources.definition import Source

_NEEDS: Mapping[str, tuple[str, ...]] = {
    "incrementing": ("incrementing",),
    "timestamp": ("timestamp",),
    "timestamp+incrementing": ("timestamp", "incrementing"),
}
"""What each mode finds new rows by; the others read all of them."""

_OF_NEW_ROWS = ("incrementing", "timestamp", "initial", "delay")
"""What says more about new rows, and means nothing where all are read."""


@dataclass(frozen=True)
class SourceSet:
    """All sources of a folder, in the order of their files."""

    sources: tuple[Source, ...]
    files: tuple[Path, ...]


def load_sources(folder: Path, environ: Mapping[str, str]) -> SourceSet:
    """Read and check the source files in `folder`, or the one file `folder`; `environ` fills in `${NAME}`.

    Raises RulesError with every mistake of every file, SettingsError if there is nothing to read.
    """
    if not folder.exists():
        raise SettingsError(f"there are no sources at {folder}; pass --sources")
    report = Report()
    files = tuple(yaml_files(folder, report)) if folder.is_dir() else (folder,)
    loading = _Loading(environ, report)
    for file in files:
        loading.read(file)
    if report.mistakes:
        raise RulesError(report.mistakes)
    if not loading.sources:
        raise SettingsError(f"there is no source in {folder}: no file there ends in .yaml or .yml")
    return SourceSet(tuple(loading.sources), files)


class _Loading:
    """One load: gathers sources and names over all files."""

    def __init__(self, environ: Mapping[str, str], report: Report) -> None:
        self.sources: list[Source] = []
        self._environ = environ
        self._report = report
        self._names: dict[str, Place] = {}

    def read(self, file: Path) -> None:
        """Read the sources of one file."""
        before = len(self._report.mistakes)
        documents = list(mappings(file, self._environ, self._report, "name, from, into"))
        if not documents and len(self._report.mistakes) == before:
            self._report.add_at(str(file), 1, 1, "the file holds no source")
        for node in documents:
            name, place = self._name_of(node, file, alone=len(documents) == 1)
            self._claim(name, place)
            if (source := self._source(node, name, file)) is not None:
                self.sources.append(source)

    def _name_of(self, node: nodes.Mapping, file: Path, *, alone: bool) -> tuple[str, Place]:
        given = node.get("name")
        if isinstance(given, nodes.Scalar) and given.value is not None:
            return str(given.value), given.place
        if not alone:
            message = "`name` is missing; only a source alone in its file is named after it"
            self._report.add(node.place, message)
            return "", node.place
        try:
            return valid_name(file.stem), node.place
        except ValueError:
            self._report.add(node.place, f"`name` is missing: {file.name} cannot name a source")
            return "", node.place

    def _claim(self, name: str, place: Place) -> None:
        first = self._names.setdefault(name, place) if name else place
        if first is not place:
            self._report.add(
                place,
                f"there is another source `{name}`, in {first.source.name}:{first.line}; names must differ",
            )

    def _source(self, node: nodes.Mapping, name: str, file: Path) -> Source | None:
        model = validate(SourceFile, node, self._report)
        if model is None:
            self._check_url(node)
            return None
        before = len(self._report.mistakes)
        self._check_one_of(node, "from", "table", "query")
        self._check_one_of(node, "into", "collection", "topic")
        self._check_mode(model, node)
        self._check_query(model, node)
        self._check_initial(model, node)
        url = self._check_url(node)
        if url is None or not name or len(self._report.mistakes) > before:
            return None
        return model.source(name, str(file), url)

    def _check_one_of(self, node: nodes.Mapping, part: str, first: str, second: str) -> None:
        places = [place_of(node, (part, key)) for key in (first, second)]
        if None not in places:
            assert places[1] is not None
            self._report.add(places[1], f"`{first}` is there too; keep one of them")
        elif places == [None, None]:
            _, place = find(node, (part,))
            self._report.add(place, f"`{part}.{first}` is missing (or `{second}`)")

    def _check_mode(self, model: SourceFile, node: nodes.Mapping) -> None:
        mode = model.from_.mode
        needed = _NEEDS.get(mode, ())
        for key in needed:
            if place_of(node, ("from", key)) is None:
                value, _ = find(node, ("from", "mode"))
                self._report.add(value.place, f"the mode `{mode}` needs `{key}`: the column to go by")
        for key in _OF_NEW_ROWS:
            place = place_of(node, ("from", key))
            if place is None or key in needed or (needed and key in ("initial", "delay")):
                continue
            modes = [other for other, keys in _NEEDS.items() if key in keys] or list(_NEEDS)
            wanted = ", ".join(modes)
            message = f"`{key}` means nothing with `mode: {mode}`; leave it out (it is for {wanted})"
            self._report.add(place, message)

    def _check_query(self, model: SourceFile, node: nodes.Mapping) -> None:
        if model.from_.query is None:
            return
        if not model.into.key and model.from_.incrementing is None:
            _, place = find(node, ("into",))
            self._report.add(place, "`into.key` is missing: a query has no primary key")
        if model.from_.query.strip().partition(" ")[0].partition("\n")[0].upper() not in ("SELECT", "WITH"):
            value, _ = find(node, ("from", "query"))
            self._report.add(value.place, "a query begins with SELECT (or WITH)")

    def _check_initial(self, model: SourceFile, node: nodes.Mapping) -> None:
        initial, mode = model.from_.initial, model.from_.mode
        if initial is None or mode not in _NEEDS:
            return
        value, _ = find(node, ("from", "initial"))
        if isinstance(initial, int) != (mode == "incrementing"):
            wanted = "a whole number" if mode == "incrementing" else "a time such as 2026-03-02T10:00"
            self._report.add(value.place, f"with `mode: {mode}`, `initial` is {wanted}", value)

    def _check_url(self, node: nodes.Mapping) -> str | None:
        value, _ = find(node, ("from", "sql"))
        if not isinstance(value, nodes.Scalar) or not isinstance(value.value, str) or not value.value:
            return None
        try:
            return completed(value.value)
        except ValueError as error:
            self._report.add(value.place, str(error), value)
            return None
