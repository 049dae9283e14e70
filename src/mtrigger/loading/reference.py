"""The reference of rule files: every key in one page, made from the same schemas that editors use.

It lists; docs/rules.md explains. Kinds of actions that other packages bring are not on it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from mtrigger import actions
from mtrigger.loading.schema import defaults_schema, rule_file_schema
from mtrigger.loading.schema_models import FILLED, Schema

_INTRODUCTION = """\
# Every key of a rule file

<!-- Made from the models by `make reference`. Do not edit this page: edit the descriptions there. -->

This page lists; [rules.md](rules.md) explains. An editor shows the same while you type:
`mtrigger schema --rules triggers/ > triggers.schema.json` makes the file it needs, and
`mtrigger schema --defaults` the one for `_defaults.yaml`.

* A **duration** is a number and its unit: `500ms`, `30s`, `5m`, `2h`, `7d`.
* A **path** leads into a document: `customer.address.city`.
* A **collection** is `database.collection`.
* An **expression** or **filter** is a condition: see [conditions.md](conditions.md).
* A **cron expression** is minute, hour, day of month, month and day of week.
* `${NAME}` and `${file:/run/secrets/name}` may stand for any value.
"""

_ANYTHING = 5
"""A value of so many types or more may be anything."""

_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "array": "list",
    "object": "mapping",
}


def reference() -> str:
    """The page, as Markdown."""
    rule = rule_file_schema()
    definitions = rule["$defs"]
    lines = [_INTRODUCTION, "## A rule", "", *_table(rule, "")]
    for key, schema in rule["properties"].items():
        if key not in ("do", "resolved"):
            lines += _sections_within(key, schema, definitions)
    lines += ["", "## Actions", "", "What stands in `do` and in `resolved`, as `kind: settings`."]
    for kind in actions.BUILT_IN:
        lines += _section(kind, definitions[kind], definitions)
        if short := actions.kind(kind).shorthand:
            takes = actions.kind(kind).shorthand_takes
            lines += ["", f"A {takes} alone is its `{short}`."]
    return "\n".join([*lines, *_defaults(), ""])


def _defaults() -> Iterator[str]:
    schema = defaults_schema()
    yield from ("", "## `_defaults.yaml`", "", _sentence(schema["description"]))
    yield from ("[Explained here](rules.md#defaults).", "", *_table(schema, ""))
    keys = [f"`{key}`" for key in schema["$defs"]["OnDefaults"]["properties"]]
    yield from ("", f"`on` has {_listed(keys, 'and')} here. What stands under `actions` and `channels`")
    yield "are settings of [actions](#actions), none of them needed."


def _section(path: str, schema: Schema, definitions: Schema) -> Iterator[str]:
    """One mapping of a rule file, and those within it."""
    yield from ("", f"### `{path}`", "", _sentence(schema["description"]))
    if "." not in path:
        yield f"[Explained here](rules.md#{path})."
    choices = [f"`{choice['required'][0]}`" for choice in schema.get("oneOf", ())]
    if choices:
        yield f"One of {_listed(choices, 'and')} is needed."
    yield from ("", *_table(schema, f"{path}."))
    for key, value in schema["properties"].items():
        yield from _sections_within(f"{path}.{key}", value, definitions)


def _sections_within(path: str, schema: Schema, definitions: Schema) -> Iterator[str]:
    for choice in (schema, *schema.get("anyOf", ()), schema.get("items", {})):
        if "$ref" in choice:
            yield from _section(path, definitions[choice["$ref"].removeprefix("#/$defs/")], definitions)


def _table(schema: Schema, path: str) -> Iterator[str]:
    """The keys of a mapping; `path` leads to it."""
    yield "| key | what it takes | default | what it is for |"
    yield "|---|---|---|---|"
    needed = schema.get("required", ())
    for key, value in schema["properties"].items():
        default = "needed" if key in needed else _written(value["default"]) if "default" in value else ""
        about = [_sentence(value.get("description", ""))]
        if examples := value.get("examples"):
            about.append(f"For example {', '.join(map(_written, examples))}.")
        cells = (f"`{key}`", _words(value, _anchor(f"{path}{key}")), default, " ".join(about))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _words(schema: Schema, anchor: str) -> str:
    """What a value is, in words. A mapping with a section of its own is a link to `anchor`."""
    if "title" in schema:
        return str(schema["title"])
    if "$ref" in schema:
        return "[action](#actions)" if schema["$ref"].endswith("/Action") else f"[mapping](#{anchor})"
    if "enum" in schema:
        return _listed([f"`{word}`" for word in schema["enum"]], "or")
    if "anyOf" in schema:
        return _one_of(schema["anyOf"], anchor)
    if schema.get("format") == "password":
        return "secret text"
    if schema.get("items"):
        words = _words(schema["items"], anchor)
        return f"list of {re.sub(r'[a-z ]+', lambda word: f'{word[0]}s', words, count=1)}"
    return _TYPES[schema["type"]] if "type" in schema else "anything"


def _one_of(choices: Sequence[Schema], anchor: str) -> str:
    """Values of one kind, or a list of them; nothing (`null`) and `${…}` are possible everywhere."""
    real = [choice for choice in choices if choice != FILLED and choice.get("type") != "null"]
    if len(real) >= _ANYTHING:
        return "anything"
    single = [choice for choice in real if choice.get("type") != "array"]
    lists = [choice for choice in real if choice.get("type") == "array"]
    words = _listed([_words(choice, anchor) for choice in single], "or")
    for choice in lists:
        comma = "," if " or " in words else ""
        them = "a list of them" if choice.get("items") in single else _words(choice, anchor)
        words += f"{comma} or {them}"
    return words


def _listed(words: Sequence[str], conjunction: str) -> str:
    return f"{', '.join(words[:-1])} {conjunction} {words[-1]}" if len(words) > 1 else words[0]


def _written(value: Any) -> str:
    """A value as it stands in a rule file."""
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, width=1_000, allow_unicode=True)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text and not text.endswith(".") else text


def _anchor(path: str) -> str:
    """What a heading with this text is called in links."""
    return re.sub(r"[^a-z0-9_-]", "", path.lower())
