"""pydantic's findings as sentences for people, at the line and column they speak of.

The sentences show a value as it stands in the file: what `${…}` was filled with is never shown.
"""

import re
from collections.abc import Mapping as MappingABC
from collections.abc import Sequence as SequenceABC
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mtrigger.config_types import closest
from mtrigger.loading.nodes import Mapping, Node, Report, Scalar, Sequence, find, plain

ModelT = TypeVar("ModelT", bound=BaseModel)

_MUST_BE = {
    "string_type": "must be text; put it in quotes",
    "int_type": "must be a whole number, without quotes",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number, without quotes",
    "bool_type": "must be true or false, without quotes",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping (`key: value` lines)",
    "model_type": "must be a mapping (`key: value` lines)",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "does not have the right form",
}


def validate(
    model: type[ModelT], node: Node, report: Report, *, within: SequenceABC[str | int] = ()
) -> ModelT | None:
    """The model made of `node`, or None if something is wrong; every mistake goes to `report`.

    `within` is the path that leads to `node` in its rule, for the names in the messages.
    """
    try:
        return model.model_validate(plain(node))
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            explain(detail, model, node, report, within)
        return None


def explain(
    detail: ErrorDetails,
    model: type[BaseModel],
    node: Node,
    report: Report,
    within: SequenceABC[str | int] = (),
) -> None:
    """Report one finding of pydantic."""
    path = detail["loc"]
    value, key_place = find(node, path)
    name = dotted((*within, *path))
    kind = detail["type"]
    if kind == "extra_forbidden":
        report.add(key_place, unknown_key(str(path[-1]), keys_of(model_at(model, path[:-1]))))
    elif kind == "missing":
        _, parent_place = find(node, path[:-1])
        report.add(parent_place, f"`{name}` is missing")
    elif kind in ("literal_error", "enum"):
        report.add(value.place, _not_a_choice(value, detail.get("ctx", {})))
    elif kind == "value_error":
        report.add(value.place, _about(value, name, str(detail["ctx"]["error"])), value)
    elif kind == "greater_than_equal":
        report.add(value.place, f"`{name}` must be {detail['ctx']['ge']} or more, not {shown(value)}")
    else:
        must = _MUST_BE.get(kind) or _lower_first(detail["msg"])
        subject = f"`{name}`" if name else "this"
        report.add(value.place, f"{subject} {must} (it is {shown(value)})", value)


def unknown_key(key: str, known: SequenceABC[str]) -> str:
    """What to say about a key that does not exist."""
    near = closest(key, known)
    hint = f"did you mean `{near}`?" if near else f"the keys here are: {', '.join(known)}"
    return f"unknown key `{key}`; {hint}"


def dotted(path: SequenceABC[str | int]) -> str:
    """A path as people write it: `do[0].email.to`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def shown(node: Node) -> str:
    """A value as it stands in its file, shortened."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if not node.raw:
        return "empty"
    text = " ".join(node.raw.split())
    return f"`{text[:57]}…`" if len(text) > 60 else f"`{text}`"


def keys_of(model: type[BaseModel] | None) -> list[str]:
    """The keys of a model as they are written in a file."""
    if model is None:
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def model_at(model: type[BaseModel] | None, path: SequenceABC[str | int]) -> type[BaseModel] | None:
    """The model of the mapping that `path` leads to, if there is one."""
    for part in path:
        if model is None or isinstance(part, int):
            continue
        fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
        if part in fields:
            model = _first_model(fields[part])
    return model


def _first_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _first_model(part))), None)


def _about(value: Node, name: str, sentence: str) -> str:
    """`sentence`, with the value it is about in front unless it begins with that itself."""
    if not isinstance(value, Scalar):
        return f"`{name}`: {sentence}" if name else sentence
    quoted = repr(value.value)
    if sentence.startswith(f"{quoted} "):
        return f"{shown(value)}{sentence.removeprefix(quoted)}"
    return f"{shown(value)}: {sentence}"


def _not_a_choice(value: Node, context: MappingABC[str, Any]) -> str:
    choices = re.findall(r"'([^']*)'", str(context.get("expected", "")))
    near = closest(value.raw, choices) if isinstance(value, Scalar) else ""
    listed = ", ".join(choices)
    hint = f"did you mean `{near}`? (one of: {listed})" if near else f"it must be one of: {listed}"
    return f"{shown(value)} is not known here; {hint}"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
