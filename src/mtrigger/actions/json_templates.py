"""JSON in a rule file whose texts are templates: made for one delivery, checked, and searched for names."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mtrigger.actions.base import ConfigMistake
from mtrigger.actions.template_texts import text_mistakes
from mtrigger.templates import RenderError, Templates

Json = str | int | float | bool | None | list[Any] | dict[str, Any]

Filled = Callable[[Mapping[str, Any]], Any]
"""A function from a scope to what a template becomes for it."""


def json_template(body: Json, leaf: Callable[[str, str], Filled], name: str = "") -> Filled:
    """A function from scope to `body`; `leaf(name, text)` makes the one for a text, which stands under the
    key `name`, or in a list under it."""
    if isinstance(body, dict):
        members = {key: json_template(value, leaf, key) for key, value in body.items()}
        return lambda scope: {key: member(scope) for key, member in members.items()}
    if isinstance(body, list):
        items = [json_template(value, leaf, name) for value in body]
        return lambda scope: [item(scope) for item in items]
    return leaf(name, body) if isinstance(body, str) else lambda scope: body


def typed_leaf(templates: Templates) -> Callable[[str, str], Filled]:
    """Texts that are one `{{ … }}` alone keep the types that JSON knows."""

    def make(name: str, source: str) -> Filled:
        text, value = templates.text(source), templates.value(source)

        def leaf(scope: Mapping[str, Any]) -> Any:
            found = value.render(scope)
            plain = found is None or isinstance(found, (bool, int, float, dict, list))
            return found if plain else text.render(scope)

        return leaf

    return make


def bson_leaf(templates: Templates) -> Callable[[str, str], Filled]:
    """Texts that are one `{{ … }}` alone keep their BSON types."""
    return lambda _name, source: templates.value(source).render


def filled(part: str, made: Filled, scope: Mapping[str, Any]) -> Any:
    """What `made` makes of `scope`. Raises RenderError, which names the `part` of the settings."""
    try:
        return made(scope)
    except RenderError as error:
        raise error.within(part) from error


def json_mistakes(body: Json, path: tuple[str | int, ...], templates: Templates) -> Iterator[ConfigMistake]:
    """What is wrong with the templates in `body`, which stands at `path` of the settings."""
    if isinstance(body, str):
        yield from text_mistakes(body, path, templates)
    elif isinstance(body, dict | list):
        for key, value in body.items() if isinstance(body, dict) else enumerate(body):
            yield from json_mistakes(value, (*path, key), templates)


def json_texts(body: Json) -> Iterator[str]:
    """The texts in `body`."""
    if isinstance(body, str):
        yield body
    elif isinstance(body, dict | list):
        for value in body.values() if isinstance(body, dict) else body:
            yield from json_texts(value)
