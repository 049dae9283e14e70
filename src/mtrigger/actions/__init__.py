"""What rules can do: one module for each kind of action, loaded when a rule uses it."""

import importlib
from typing import Any

from mtrigger.actions.base import ActionKind

KINDS = {
    "email": "mtrigger.actions.email",
    "webhook": "mtrigger.actions.webhook",
    "function": "mtrigger.actions.function",
    "log": "mtrigger.actions.log",
}
"""The name of a kind in `do:` -> the module that holds it, as `KIND`."""


def kind(name: str) -> ActionKind[Any]:
    """The kind of action called `name`. Raises KeyError when there is none."""
    found: ActionKind[Any] = importlib.import_module(KINDS[name]).KIND
    return found
