"""Settings of which a text names a JSON file beside the rule file: its content takes the text's place.

Promise: a file that cannot be used is one mistake, at the place where the rule names it. The path is taken
from the folder of the file that says it, so rules can be moved as a folder.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mtrigger.loading.nodes import Entry, Mapping, Node, Place, Report, Scalar, Sequence

SUFFIX = ".json"


def with_files(settings: Mapping, names: Iterable[str], report: Report) -> Mapping:
    """`settings`, with the contents of the files that those of `names` say."""
    entries = dict(settings.entries)
    for name in names:
        entry = entries.get(name)
        if entry is not None and isinstance(entry.node, Scalar) and isinstance(entry.node.value, str):
            entries[name] = Entry(entry.place, _content(entry.node, name, report))
    return Mapping(settings.place, entries)


def _content(node: Scalar, name: str, report: Report) -> Node:
    file = Path(node.place.source.name).parent / node.value
    if file.suffix != SUFFIX:
        report.add(node.place, f"`{name}` is a mapping, or the name of a {SUFFIX} file beside this one", node)
        return node
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        report.add(node.place, f"the file {file} cannot be read: {error.strerror}", node)
    except (ValueError, RecursionError) as error:
        report.add(node.place, f"the file {file} holds no JSON: {error}", node)
    else:
        if isinstance(found, dict):
            return _placed(found, node.place)
        report.add(node.place, f"the file {file} holds no mapping", node)
    return node


def _placed(value: Any, place: Place) -> Node:
    """`value` as it would stand at `place`."""
    if isinstance(value, dict):
        return Mapping(place, {key: Entry(place, _placed(item, place)) for key, item in value.items()})
    if isinstance(value, list):
        return Sequence(place, tuple(_placed(item, place) for item in value))
    return Scalar(place, value, json.dumps(value), "", place.index)
