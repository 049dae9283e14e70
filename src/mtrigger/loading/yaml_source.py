"""YAML text to nodes: the core schema of YAML 1.2, duplicate keys refused, every value with its place.

Only `true` and `false` are flags, so `on:` is a key and `NO` a text; `12:30`, `1_000` and dates are texts too
(https://yaml.org/spec/1.2.2/#103-core-schema). `<<` merges mappings, as editors and other tools understand
it. Aliases are allowed, but what they expand to is bounded.
"""

import re
from typing import Any

import yaml

from mtrigger.loading.nodes import Entry, Mapping, Node, Place, Report, Scalar, Sequence, Source

MOST_NODES = 20_000
DEEPEST = 100
LONGEST_FILE = 512 * 1024
_DEEPEST_PARSED = 1_000  # libyaml's composer recurses on the C stack, without a bound of its own

_CORE = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    "merge": r"<<",
}
_TAG = "tag:yaml.org,2002:"
_PATTERNS = {name: re.compile(rf"(?:{pattern})\Z") for name, pattern in _CORE.items()}
_BEGINNINGS = (
    (("int", "float"), "0123456789+-."),
    (("bool",), "tTfF"),
    (("null",), ("~", "n", "N", "")),
    (("merge",), "<"),
)
_KNOWN_TAGS = {f"{_TAG}{name}" for name in ("str", "seq", "map", *_CORE)}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _CoreLoader(_Loader):  # type: ignore[misc]  # the C loader, where PyYAML was built with libyaml
    """A loader that resolves plain scalars by the core schema of YAML 1.2."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute: patterns by first character
        first: [(f"{_TAG}{name}", _PATTERNS[name]) for name in names]
        for names, characters in _BEGINNINGS
        for first in characters
    }


def read_documents(source: Source, report: Report) -> list[Node]:
    """The documents of a file, empty ones left out. What is wrong with the text goes to `report`."""
    start = Place(source, 0, 1, 1)
    if len(source.text) > LONGEST_FILE:
        report.add(start, f"the file is longer than {LONGEST_FILE // 1024} KiB; split it into several")
        return []
    try:
        if _too_deep(source.text):
            report.add(start, f"values are nested more than {DEEPEST} levels deep")
            return []
        loader = _CoreLoader(source.text)
        try:
            composed = []
            while loader.check_node():
                composed.append(loader.get_node())
        finally:
            loader.dispose()
    except yaml.reader.ReaderError:
        _report_control_character(source, report)
        return []
    except yaml.MarkedYAMLError as error:
        _report_syntax(error, start, report)
        return []
    documents = [_Walk(source, report).node(node) for node in composed if not _is_empty(node)]
    return [document for document in documents if document is not None]


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.value and not node.style


def _too_deep(text: str) -> bool:
    """Whether nesting passes what the composer can take. Counting suspects is cheap; only suspicious files
    are scanned."""
    if sum(text.count(sign) for sign in ("[", "{", "- ", "? ", "-\n", "?\n")) < _DEEPEST_PARSED:
        return False
    depth = 0
    for event in yaml.parse(text, _CoreLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST_PARSED:
            return True
    return False


class _TooMuch(Exception):  # noqa: N818 - ends one walk, never leaves this module
    def __init__(self, place: Place, message: str) -> None:
        self.place = place
        self.message = message


class _Walk:
    """Turns one document's PyYAML nodes into ours."""

    def __init__(self, source: Source, report: Report) -> None:
        self._source = source
        self._report = report
        self._count = 0
        self._open: list[yaml.Node] = []

    def node(self, node: yaml.Node) -> Node | None:
        """The whole document; None if it is beyond bounds or goes in circles (that is reported)."""
        try:
            return self._convert(node)
        except _TooMuch as limit:
            self._report.add(limit.place, limit.message)
            return None

    def _place(self, node: yaml.Node) -> Place:
        mark = node.start_mark
        return Place(self._source, mark.index, mark.line + 1, mark.column + 1)

    def _convert(self, node: yaml.Node) -> Node:
        place = self._place(node)
        self._count += 1
        if self._count > MOST_NODES:
            raise _TooMuch(place, f"the document has more than {MOST_NODES} values, aliases counted in full")
        if node.tag not in _KNOWN_TAGS:
            shown = node.tag.replace(_TAG, "!!")
            self._report.add(place, f"the tag `{shown}` is not known here; leave it out")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        if any(node is above for above in self._open):
            raise _TooMuch(place, "an alias stands inside its own anchor: this value would never end")
        if len(self._open) >= DEEPEST:
            raise _TooMuch(place, f"values are nested more than {DEEPEST} levels deep")
        self._open.append(node)
        try:
            if isinstance(node, yaml.SequenceNode):
                return Sequence(place, tuple(self._convert(item) for item in node.value))
            assert isinstance(node, yaml.MappingNode)
            return self._mapping(node, place)
        finally:
            self._open.pop()

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Scalar:
        try:
            value = _value(node.tag.removeprefix(_TAG), node.value)
        except ValueError:
            self._report.add(place, "this value does not fit its tag")
            value = node.value
        return Scalar(place, value, node.value, node.style or "", node.end_mark.index)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> Mapping:
        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key, value in node.value:
            key_place = self._place(key)
            if not isinstance(key, yaml.ScalarNode):
                self._report.add(
                    key_place,
                    'a key must be text; if this is a template, put the whole value in quotes: "{{ … }}"',
                )
            elif key.tag == f"{_TAG}merge":
                self._merge(self._convert(value), merged)
            elif key.value in entries:
                first = entries[key.value].place
                self._report.add(
                    key_place, f"the key `{key.value}` is here twice (first in line {first.line}); keep one"
                )
            else:
                entries[key.value] = Entry(key_place, self._convert(value))
        return Mapping(place, {**merged, **entries} if merged else entries)

    def _merge(self, node: Node, merged: dict[str, Entry]) -> None:
        for item in node.items if isinstance(node, Sequence) else (node,):
            if isinstance(item, Mapping):
                for key, entry in item.entries.items():
                    merged.setdefault(key, entry)
            else:
                self._report.add(item.place, "`<<` takes a mapping or a list of mappings")


def _value(kind: str, text: str) -> Any:
    """The value of a scalar with a core tag. Raises ValueError when the text does not fit an explicit tag."""
    pattern = _CORE.get(kind)
    if pattern is None or kind == "merge":
        return text
    if not re.fullmatch(pattern, text):
        raise ValueError(kind)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return float(
        text.replace(".inf", "inf")
        .replace(".Inf", "inf")
        .replace(".INF", "inf")
        .replace(".n", "n")
        .replace(".N", "N")
    )


_HINTS = (
    (
        "mapping values are not allowed",
        "a `: ` inside a value, or a line that is indented too far; put a value that holds `: ` in quotes",
    ),
    (
        "did not find expected key",
        "a key is expected here; if a value begins with a quote, put all of it in quotes",
    ),
    ("did not find expected '-' indicator", "a list item (`- …`) is expected here, as in the lines above"),
    (
        "found undefined alias",
        "this alias (`*name`) has no anchor (`&name`) before it; put text that begins with * in quotes",
    ),
    ("could not find expected ':'", "a `:` after the key is missing, in this line or the one before"),
)


_OPENED = (
    ("',' or ']'", "the list that begins here is not closed, or has no comma before line {line}"),
    ("',' or '}'", "the mapping that begins here is not closed, or has no comma before line {line}"),
    ("found unexpected end of stream", "the quote that is opened here is never closed"),
)
"""Mistakes that are best shown where something began, rather than where the reader gave up."""


def _report_syntax(error: yaml.MarkedYAMLError, start: Place, report: Report) -> None:
    mark = error.problem_mark or error.context_mark
    place = start.at(mark.index) if mark else start
    problem = str(error.problem or error.context or "this is not YAML")
    for sign, hint in _OPENED:
        if sign in problem and error.context_mark and mark:
            report.add(start.at(error.context_mark.index), hint.format(line=mark.line + 1))
            return
    rest = start.source.text[place.index : place.index + 1]
    if "cannot start any token" in problem:
        message = (
            "YAML takes no tabs for indentation; use spaces"
            if rest == "\t"
            else f"a value cannot begin with `{rest}`; put it in quotes"
        )
    else:
        message = next((hint for sign, hint in _HINTS if sign in problem), f"this is not YAML: {problem}")
    report.add(place, message)


def _report_control_character(source: Source, report: Report) -> None:
    found = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", source.text)
    index = found.start() if found else 0
    code = f"U+{ord(source.text[index]):04X}" if source.text else ""
    report.add(
        Place(source, 0, 1, 1).at(index), f"the control character {code} is not allowed in YAML; remove it"
    )
