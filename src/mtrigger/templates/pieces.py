"""What a value becomes beside other text in one place, so that it stays a value there: an address, a chat."""

from collections.abc import Callable
from typing import Any

from jinja2 import Undefined
from markupsafe import Markup

from mtrigger.templates.values import printed

_ADDRESS_SEPARATORS = str.maketrans("", "", ',;<>"\\')


def address_piece(value: Any) -> Any:
    """`value` without what parts addresses from each other."""
    shown = printed(value)
    return shown.translate(_ADDRESS_SEPARATORS) if isinstance(shown, str) else shown


def address_list(value: Any) -> Any:
    """An array of addresses as a list of them; every other value as it is."""
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return printed(value)


def escaped_piece(escape: Callable[[str], str], value: Any) -> Any:
    """`value` after `escape`, as markup that is not escaped again; what a macro made is markup already."""
    shown = printed(value)
    if isinstance(shown, Markup | Undefined):
        return shown
    return Markup(escape(str(shown)))  # noqa: S704 - `escape` has made it safe
