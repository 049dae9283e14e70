"""Conditions and BSON values in a rule file: `when`, a query's `where`, documents in Extended JSON."""

from collections.abc import Iterator
from typing import Any

from mtrigger.conditions import About, Condition, parse, parse_mapping
from mtrigger.conditions.mapping import mapping_text
from mtrigger.errors import ConditionError
from mtrigger.loading.nodes import Mapping, Node, Place, Report, Scalar, Sequence, plain, written
from mtrigger.loading.scalar_text import place_in
from mtrigger.loading.validation import shown


def condition_at(node: Node, key: str, report: Report, about: About = "document") -> Condition | None:
    """The condition written under `key`, which is `about` a document or a message, None if something is wrong
    with it; mistakes go to `report`."""
    if isinstance(node, Mapping):
        try:
            return parse_mapping(plain(node), about).written_as(mapping_text(written(node)))
        except ConditionError as error:
            report.add(_named_key(node, error.message) or node.place, str(error))
        return None
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        report.add(
            node.place,
            f"`{key}` is an expression (amount > 10000) or a MongoDB filter, "
            f"not {shown(node)}; without it every {'event' if key == 'when' else 'document'} counts",
        )
        return None
    try:
        return parse(node.value, about).written_as(node.raw)
    except ConditionError as error:
        report.add(place_in(node, error.line, error.column), f"`{key}`: {error}", node)
    return None


def with_bson_values(value: Any, node: Node, report: Report) -> Any:
    """`value`, which stands in `node`, with its Extended JSON (`{$numberDecimal: "1.5"}`) turned into BSON
    values; None if that cannot be."""
    if not any(key.startswith("$") for key, _ in keys_in(node)):
        return value
    import json

    from bson import json_util
    from bson.errors import BSONError

    try:
        return json_util.loads(json.dumps(value))
    except (ValueError, TypeError, ArithmeticError, BSONError) as error:
        report.add(node.place, f"this is not Extended JSON: {error}")
        return None


def keys_in(node: Node) -> Iterator[tuple[str, Place]]:
    """All keys of `node`, at any depth, with their places."""
    if isinstance(node, Mapping):
        for key, entry in node.entries.items():
            yield key, entry.place
            yield from keys_in(entry.node)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from keys_in(item)


def _named_key(node: Node, message: str) -> Place | None:
    """The place of the first key in `node` that `message` names in backquotes."""
    for key, place in keys_in(node):
        if f"`{key}`" in message:
            return place
    return None
