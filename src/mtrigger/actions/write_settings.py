"""The settings of the action `write`, and what can be wrong with them before anything is written.

Which operation, which fields and which operators is decided by the rule file alone; documents only give
values.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import Field, model_validator

from mtrigger.actions.base import ActionConfig, ConfigMistake
from mtrigger.actions.json_templates import json_mistakes, json_texts
from mtrigger.actions.target_collections import TargetCollection
from mtrigger.actions.template_texts import names_in
from mtrigger.config_types import Count, Flag, OneOrMore, closest
from mtrigger.effects import WriteOperation
from mtrigger.templates import Templates, is_static

Values = dict[str, Any]

OPERATIONS: tuple[WriteOperation, ...] = ("insert", "update", "replace", "delete")

ARRAY_OPERATORS = ("$push", "$addToSet")
ARRAY_MODIFIERS = ("$each", "$position", "$slice", "$sort")
COMPARISONS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")
UPDATE_OPERATORS = (
    *("$set", "$setOnInsert", "$unset", "$rename", "$currentDate"),
    *("$inc", "$mul", "$min", "$max"),
    *(*ARRAY_OPERATORS, "$pull", "$pullAll", "$pop"),
)
FIXED_OPERATORS = ("$rename", "$currentDate")
"""Operators whose operands are names, which only the rule file gives."""

Place = tuple[str | int, ...]


class WriteConfig(ActionConfig):
    """A write into MongoDB, exactly once for each delivery."""

    concurrency: Count = Field(
        default=100,
        description="How many attempts of this action may run at the same time, and so share a transaction",
    )
    into: TargetCollection = Field(description="The collection: database.collection", examples=["shop.audit"])
    insert: Values | str | None = Field(
        default=None, description="The new document; `{{ document }}` alone may stand for one"
    )
    update: Values | None = Field(
        default=None, description="Fields to set, or update operators ($set, $inc, $push, …)"
    )
    replace: Values | str | None = Field(default=None, description="What the document becomes")
    delete: Values | None = Field(default=None, description="The fields that name the document that goes")
    key: OneOrMore[str] | Values | None = Field(
        default=None,
        description="The field or fields of the value that name the target, or a mapping of its own",
    )
    upsert: Flag = Field(default=False, description="Make the document if it is not there")

    @property
    def operation(self) -> WriteOperation:
        """The one operation it is."""
        return next(name for name in OPERATIONS if getattr(self, name) is not None)

    @property
    def value(self) -> Values | str:
        """What stands behind the operation."""
        return cast("Values | str", getattr(self, self.operation))

    @property
    def has_operators(self) -> bool:
        """Whether it is an update that says how fields change."""
        return self.update is not None and any(name.startswith("$") for name in self.update)

    @model_validator(mode="after")
    def _one_operation(self) -> "WriteConfig":
        given = [name for name in OPERATIONS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"give one of insert, update, replace and delete, not {found}")
        operation = self.operation
        if operation in ("update", "replace"):
            if self.key is None:
                raise ValueError(
                    f"`{operation}` needs a `key`: the field or fields that name the target (`key: _id`)"
                )
            return self
        if self.key is not None:
            whose = "a new document has none" if operation == "insert" else "its fields name the target"
            raise ValueError(f"`key` does not go with `{operation}`: {whose}")
        if self.upsert:
            raise ValueError(f"`upsert` goes with update and replace, not with `{operation}`")
        return self


def write_mistakes(config: WriteConfig, templates: Templates) -> Iterator[ConfigMistake]:
    """What is wrong beyond the model: templates, operators, keys that are not there."""
    place, value = (config.operation,), config.value
    yield from json_mistakes(value, place, templates)
    if isinstance(config.key, dict):
        yield from json_mistakes(config.key, ("key",), templates)
        yield from _dollars(config.key, ("key",), "a key is compared as it is")
        yield from _unfit(config.key, ("key",))
        if not config.key:
            yield ConfigMistake(("key",), "`key` is empty: it would mean any document")
    if isinstance(value, str):
        if is_static(value):
            yield ConfigMistake(place, "write a mapping of fields, or one template such as {{ document }}")
    elif not value:
        yield ConfigMistake(place, f"`{config.operation}` is empty")
    elif config.has_operators:
        yield from _operator_mistakes(config, value)
    else:
        yield from _dollars(value, place, "a field's name does not begin with `$` here")
        yield from _missing_keys(config, value)
        if config.operation == "delete":
            yield from _unfit(value, place)


def key_problem(value: Any) -> str | None:
    """Why a value cannot name a document, None if it can."""
    if value is None:
        return "is null, which would mean any document without that field"
    return "is an array, which would be found by each of its elements" if isinstance(value, list) else None


def _unfit(key: Values, place: Place) -> Iterator[ConfigMistake]:
    for name, value in key.items():
        if (problem := key_problem(value)) is not None:
            yield ConfigMistake((*place, name), f"`{name}` {problem}")


def _operator_mistakes(config: WriteConfig, update: Values) -> Iterator[ConfigMistake]:
    if not isinstance(config.key, dict):
        yield ConfigMistake(
            ("key",),
            "with update operators, `key` is a mapping: key: {customer_id: '{{ document.customer_id }}'}",
        )
    for name, operand in update.items():
        place = ("update", name)
        if not name.startswith("$"):
            yield ConfigMistake(place, f"`{name}` stands beside update operators: put it under `$set`")
        elif name not in UPDATE_OPERATORS:
            near = closest(name, UPDATE_OPERATORS)
            hint = f"did you mean `{near}`?" if near else f"there are: {', '.join(UPDATE_OPERATORS)}"
            yield ConfigMistake(place, f"`{name}` is no update operator that can be used here; {hint}")
        elif not isinstance(operand, dict):
            yield ConfigMistake(place, f"`{name}` takes fields: {name}: {{field: value}}")
        else:
            for field, value in operand.items():
                yield from _operand_mistakes(name, value, (*place, field))


def _operand_mistakes(operator: str, operand: Any, place: Place) -> Iterator[ConfigMistake]:
    if operator in FIXED_OPERATORS and any(not is_static(text) for text in json_texts(operand)):
        yield ConfigMistake(place, f"what `{operator}` names is fixed: there are no templates here")
    allowed: tuple[str, ...] = ()
    if operator in ARRAY_OPERATORS:
        allowed = ARRAY_MODIFIERS if operator == "$push" else ("$each",)
    elif operator == "$pull":
        yield from _pulled(operand, place)
        return
    elif operator == "$currentDate":
        allowed = ("$type",)
    if not isinstance(operand, dict):
        yield from _dollars(operand, place, "a field's name does not begin with `$` here")
        return
    for name, value in operand.items():
        if name.startswith("$") and name not in allowed:
            yield ConfigMistake((*place, name), f"`{name}` is not allowed in `{operator}`")
        yield from _dollars(value, (*place, name), "a field's name does not begin with `$` here")
    if any(name in allowed for name in operand) and operator == "$push" and "$each" not in operand:
        yield ConfigMistake(place, "`$push` with modifiers needs `$each`")


def _pulled(operand: Any, place: Place) -> Iterator[ConfigMistake]:
    """A condition on elements: plain values, comparisons, or fields with one of the two."""
    for name, value in operand.items() if isinstance(operand, dict) else ():
        if name.startswith("$") and name not in COMPARISONS:
            yield ConfigMistake(
                (*place, name), f"`{name}` is not allowed in `$pull`; there are: {', '.join(COMPARISONS)}"
            )
        elif name.startswith("$"):
            yield from _dollars(value, (*place, name), "a value stands behind a comparison")
        else:
            yield from _pulled(value, (*place, name))


def _dollars(value: Any, place: Place, why: str) -> Iterator[ConfigMistake]:
    """Every key within `value` that begins with a `$`."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(key, str) and key.startswith("$"):
                yield ConfigMistake((*place, key), f"`{key}` is not allowed: {why}")
            yield from _dollars(item, (*place, key), why)


def _missing_keys(config: WriteConfig, value: Values) -> Iterator[ConfigMistake]:
    """Names in `key` that the value does not have."""
    for number, name in enumerate(config.key if isinstance(config.key, tuple) else ()):
        if not has_field(value, name):
            near = closest(name, value)
            hint = f"; did you mean `{near}`?" if near else ""
            yield ConfigMistake(("key", number), f"`{config.operation}` has no field `{name}`{hint}")


def has_field(value: Mapping[str, Any], path: str) -> bool:
    """Whether `path` leads to a field of `value`, or, behind a template, may."""
    if path in value:
        return True
    name, dot, rest = path.partition(".")
    inner = value.get(name)
    return bool(dot) and (isinstance(inner, str) or (isinstance(inner, Mapping) and has_field(inner, rest)))


def write_reads(config: WriteConfig, templates: Templates) -> frozenset[str] | None:
    """The names of the scope that such a write may read."""
    key = config.key if isinstance(config.key, dict) else {}
    return names_in([*json_texts(config.value), *json_texts(key)], templates)
