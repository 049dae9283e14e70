"""JSON Schemas that bodies of messages are held against.

A body is BSON, a schema is about JSON: int, long, double and Decimal128 are numbers, compared exactly; a date
is a text in ISO 8601, an ObjectId its 24 digits, binary data a text; NaN and what is infinite are texts.
Promises: nothing is fetched from anywhere; no document can keep the engine busy with a regular expression
(patterns are RE2's); and a schema that could not be used is found when the rule is loaded.
"""

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bson.decimal128 import Decimal128

from mtrigger.conditions.regex_tree import RegexError
from mtrigger.conditions.regexes import compiled, pattern
from mtrigger.errors import PermanentError
from mtrigger.templates.values import printed

if TYPE_CHECKING:  # the validator is loaded when a rule names a schema
    from jsonschema import ValidationError

Schema = Mapping[str, Any]
Place = tuple[str | int, ...]

MOST_TOLD = 3
"""Violations of one body that are told."""

LONGEST_TOLD = 200
"""Characters of each."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFUSED = {
    "patternProperties": "name the properties in `properties`, or hold their names against `propertyNames`",
    "$dynamicRef": "write `$ref`",
    "$recursiveRef": "write `$ref`",
    "$id": "leave it out: only parts of the schema itself can be referred to",
}
"""Keywords that cannot be used here, each with what to write instead."""


class _Number(Decimal):
    """A number that is shown as such."""

    def __repr__(self) -> str:
        return str(self)


def schema_mistakes(schema: Schema) -> Iterator[tuple[Place, str]]:
    """What is wrong with `schema`: where within it, and a sentence."""
    from jsonschema import SchemaError

    dialect = schema.get("$schema", _DIALECT)
    if str(dialect).rstrip("#") != _DIALECT:
        yield ("$schema",), f"only JSON Schema 2020-12 is known here: {_DIALECT}"
        return
    try:
        _validator_class().check_schema(schema)
    except SchemaError as error:
        yield tuple(error.absolute_path), f"this is no JSON Schema: {_short(error.message)}"
        return
    yield from _unusable(schema, schema, ())


def checked_by(schema: Schema) -> Callable[[Mapping[str, Any]], None]:
    """A function that raises PermanentError for a body that does not meet `schema`, which has no mistakes."""
    from referencing import Registry

    validator = _validator_class()(_as_json(schema), format_checker=_formats(), registry=Registry[Any]())

    def check(body: Mapping[str, Any]) -> None:
        try:
            errors = sorted(validator.iter_errors(_as_json(body)), key=lambda error: error.json_path)
        except RecursionError as error:
            raise PermanentError("the message's body is nested too deeply for its schema") from error
        if errors:
            told = [f"{error.json_path}: {_short(_told(error))}" for error in errors[:MOST_TOLD]]
            more = [f"and {len(errors) - MOST_TOLD} more"] if len(errors) > MOST_TOLD else []
            raise PermanentError(f"the message's body does not meet the schema: {'; '.join([*told, *more])}")

    return check


def _unusable(schema: Any, root: Schema, place: Place) -> Iterator[tuple[Place, str]]:
    """What the dialect allows and is not possible here."""
    if isinstance(schema, list):
        for number, item in enumerate(schema):
            yield from _unusable(item, root, (*place, number))
    if not isinstance(schema, Mapping):
        return
    for key, value in schema.items():
        here = (*place, key)
        if key in ("const", "enum", "default", "examples"):
            continue
        if key in ("properties", "$defs", "definitions", "dependentSchemas"):
            for name, one in value.items() if isinstance(value, Mapping) else ():
                yield from _unusable(one, root, (*here, name))
            continue
        if key in _REFUSED:
            yield here, f"`{key}` is not possible here; {_REFUSED[key]}"
        elif key == "$ref" and not _leads_somewhere(str(value), root):
            yield here, "`$ref` leads to no part of this schema: write it as `#/$defs/NAME`"
        elif key == "pattern" and (problem := _pattern_problem(str(value))):
            yield here, problem
        yield from _unusable(value, root, here)


def _leads_somewhere(reference: str, root: Schema) -> bool:
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    if not reference.startswith("#"):
        return False
    registry = Registry[Any]().with_resource("", DRAFT202012.create_resource(root))
    try:
        registry.resolver().lookup(reference)
    except Unresolvable:
        return False
    return True


def _pattern_problem(text: str) -> str:
    try:
        pattern(text)
    except RegexError as error:
        return str(error)
    return ""


@functools.cache
def _validator_class() -> Any:  # the library makes it at run time; naming its type would load it
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    numbers = Draft202012Validator.TYPE_CHECKER.redefine_many({"number": _is_number, "integer": _is_integer})
    make: Any = extend  # it comes without types
    return make(Draft202012Validator, {"pattern": _matches}, type_checker=numbers)


def _is_number(_checker: object, value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _is_integer(_checker: object, value: object) -> bool:
    whole = isinstance(value, Decimal | float) and value % 1 == 0
    return whole or (isinstance(value, int) and not isinstance(value, bool))


def _matches(_validator: object, source: str, value: object, _schema: object) -> Iterator[Exception]:
    from jsonschema import ValidationError

    if isinstance(value, str) and not compiled(pattern(source).re2)(value):
        yield ValidationError(f"{value!r} does not match {source!r}")


@functools.cache
def _formats() -> Any:  # likewise
    from jsonschema import FormatChecker

    checker = FormatChecker(("date", "email", "ipv4", "ipv6"))
    checker.checks("date-time", ValueError)(_is_moment)
    checker.checks("uuid", ValueError)(_is_uuid)
    return checker


def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or str(UUID(value)) == value.lower()


def _as_json(value: Any) -> Any:
    """`value` in the types of JSON, with decimals for numbers that are not whole."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Mapping):
        return {str(name): _as_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float | Decimal128 | Decimal):
        number = value.to_decimal() if isinstance(value, Decimal128) else Decimal(str(value))
        return _Number(number) if number.is_finite() else str(number)
    return str(printed(value))


def _told(error: "ValidationError") -> str:
    """Its message, in which null, true and false are not called as in Python."""
    if error.instance is None or isinstance(error.instance, bool):
        return f"{json.dumps(error.instance)}{error.message.removeprefix(repr(error.instance))}"
    return error.message


def _short(message: str) -> str:
    return message if len(message) <= LONGEST_TOLD else f"{message[:LONGEST_TOLD]}…"
