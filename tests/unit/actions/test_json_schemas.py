"""JSON Schemas and BSON: what counts as what, and which schemas cannot be used."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from bson.binary import Binary
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

from mtrigger.actions.json_schemas import checked_by, schema_mistakes
from mtrigger.errors import PermanentError

MOMENT = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
UUID_ONE = UUID("12345678-1234-5678-1234-567812345678")


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a body whose field `v` is `value` meets a schema for it."""
    whole = {"properties": {"v": schema}}
    assert list(schema_mistakes(whole)) == []
    try:
        checked_by(whole)({"v": value})
    except PermanentError as error:
        return "$.v" not in str(error)
    return True


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (7, {"type": "integer"}),
        (Int64(2**40), {"type": "integer"}),
        (7.0, {"type": "integer"}),
        (Decimal128("7"), {"type": "integer"}),
        (1.5, {"type": "number", "exclusiveMinimum": 1}),
        (Decimal128("0.10"), {"type": "number", "multipleOf": 0.01, "minimum": 0.1, "maximum": 0.1}),
        (0.3, {"multipleOf": 0.1}),
        (Decimal128("1.50"), {"enum": [1.5]}),
        (MOMENT, {"type": "string", "format": "date-time"}),
        ("2026-01-01T12:30:00+09:00", {"format": "date-time"}),
        ("2026-01-01", {"format": "date"}),
        (ObjectId(), {"type": "string", "pattern": "^[0-9a-f]{24}$"}),
        (Binary.from_uuid(UUID_ONE), {"format": "uuid"}),
        (Binary(b"abc", 0), {"type": "string", "const": "YWJj"}),
        (None, {"type": "null"}),
        (True, {"type": "boolean"}),
        ([1, {"a": None}], {"type": "array", "items": {"type": ["integer", "object"]}}),
        ("anything", {"format": "hostname"}),
    ],
)
def test_bson_counts_as_the_json_it_is_like(value: Any, schema: dict[str, Any]) -> None:
    """Numbers are numbers whatever their type, dates and ids are texts."""
    assert fits(value, schema)


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (True, {"type": "integer"}),
        (True, {"type": "number"}),
        (1.5, {"type": "integer"}),
        (Decimal128("7.1"), {"type": "integer"}),
        (Decimal128("0.09999999999999999999"), {"minimum": 0.1}),
        (Decimal128("0.105"), {"multipleOf": 0.01}),
        (Decimal128("NaN"), {"type": "number"}),
        (float("inf"), {"type": "number"}),
        (MOMENT, {"type": "number"}),
        ("2026-01-01T12:30:00", {"format": "date-time"}),
        ("tomorrow", {"format": "date-time"}),
        ("2026-02-30", {"format": "date"}),
        ("{12345678}", {"format": "uuid"}),
        ("ab", {"pattern": "^b"}),
        ("7", {"type": "integer"}),
        ([1, 1.0], {"uniqueItems": True}),
    ],
)
def test_what_does_not_meet_it(value: Any, schema: dict[str, Any]) -> None:
    """Exactly: decimals are not rounded on the way."""
    assert not fits(value, schema)


def test_what_is_told_is_bounded() -> None:
    """Three violations, none of them long, in the order of their paths."""
    check = checked_by({"properties": {name: {"type": "number"} for name in "dcba"}, "required": ["e"]})
    with pytest.raises(PermanentError) as raised:
        check(dict.fromkeys("abcd", "x" * 10_000))
    said = str(raised.value)
    assert said.startswith(
        "the message's body does not meet the schema: $: 'e' is a required property; $.a: "
    )
    assert said.endswith("; and 2 more")
    assert len(said) < 1_000


def test_numbers_are_told_as_numbers() -> None:
    """Not as what Python makes of them."""
    check = checked_by({"properties": {"a": {"minimum": 0.5}}})
    with pytest.raises(PermanentError, match=r"\$\.a: 0\.25 is less than the minimum of 0\.5"):
        check({"a": Decimal128(Decimal("0.25"))})


@pytest.mark.parametrize(("value", "said"), [(None, "null"), (True, "true")], ids=["null", "true"])
def test_what_json_calls_otherwise_is_called_so(value: object, said: str) -> None:
    """Whoever reads it need not know Python."""
    with pytest.raises(PermanentError, match=rf"\$\.a: {said} is not of type 'number'"):
        checked_by({"properties": {"a": {"type": "number"}}})({"a": value})


def test_no_text_can_keep_it_busy() -> None:
    """A pattern that takes a backtracking engine for ever."""
    assert not fits("a" * 5_000 + "!", {"pattern": "^(a+)+$"})


def test_a_schema_without_an_end_is_the_end_of_one_message() -> None:
    """It is not noticed when it is loaded."""
    with pytest.raises(PermanentError, match="nested too deeply"):
        checked_by({"$ref": "#"})({})


def test_parts_of_a_schema_are_referred_to() -> None:
    """By pointers into itself."""
    schema = {"$defs": {"name": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/name"}}}
    assert list(schema_mistakes(schema)) == []
    checked_by(schema)({"a": "b"})
    with pytest.raises(PermanentError, match=r"\$\.a: 1 is not of type 'string'"):
        checked_by(schema)({"a": 1})


@pytest.mark.parametrize(
    ("schema", "place", "said"),
    [
        ({"type": "objekt"}, ("type",), "no JSON Schema"),
        ({"properties": {"a": {"minimum": "1"}}}, ("properties", "a", "minimum"), "no JSON Schema"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, ("$schema",), "only JSON Schema 2020-12"),
        ({"patternProperties": {"^a": {}}}, ("patternProperties",), "name the properties"),
        ({"$ref": "https://example.com/schema"}, ("$ref",), "leads to no part of this schema"),
        ({"allOf": [{"$ref": "#/$defs/none"}]}, ("allOf", 0, "$ref"), "leads to no part"),
        ({"$id": "https://example.com/a"}, ("$id",), "leave it out"),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, ("properties", "a", "pattern"), "linear time"),
    ],
)
def test_what_cannot_be_used_is_a_mistake(schema: dict[str, Any], place: tuple[Any, ...], said: str) -> None:
    """Where it stands."""
    ((found, message),) = schema_mistakes(schema)
    assert found == place
    assert said in message


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"$ref": {"type": "string"}, "pattern": {"type": "string"}, "$id": {}}},
        {"const": {"$ref": "x", "patternProperties": 1}},
        {"enum": [{"$id": 1}]},
        {"$schema": "https://json-schema.org/draft/2020-12/schema"},
    ],
    ids=["names of properties", "constant", "enumeration", "dialect"],
)
def test_names_and_values_are_no_keywords(schema: dict[str, Any]) -> None:
    """Properties may be called anything."""
    assert list(schema_mistakes(schema)) == []
