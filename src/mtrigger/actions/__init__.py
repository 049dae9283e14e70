"""What rules can do: one module for each kind of action, loaded when a rule uses it.

Other packages may bring more kinds (`third_party.py`); the built-in ones come first.
"""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from mtrigger.actions import third_party
from mtrigger.actions.base import ActionKind

BUILT_IN = {
    "email": "mtrigger.actions.email",
    "webhook": "mtrigger.actions.webhook",
    "slack": "mtrigger.actions.slack",
    "teams": "mtrigger.actions.teams",
    "function": "mtrigger.actions.function",
    "command": "mtrigger.actions.command",
    "notify": "mtrigger.actions.notify",
    "write": "mtrigger.actions.write",
    "publish": "mtrigger.actions.publish",
    "sink": "mtrigger.actions.sink",
    "nats": "mtrigger.actions.nats",
    "rabbitmq": "mtrigger.actions.rabbitmq",
    "log": "mtrigger.actions.log",
}
"""The name of a kind in `do:` -> the module that holds it, as `KIND`."""


class Kinds(Mapping[str, str]):
    """Every kind there is: its name in `do:` -> where it is found. Built-in names are told without a look at
    what is installed."""

    def __getitem__(self, name: str) -> str:
        return BUILT_IN.get(name) or third_party.offered()[name].value

    def __iter__(self) -> Iterator[str]:
        yield from BUILT_IN
        yield from (name for name in third_party.offered() if name not in BUILT_IN)

    def __len__(self) -> int:
        return sum(1 for _ in self)


KINDS = Kinds()


def kind(name: str) -> ActionKind[Any]:
    """The kind of action called `name`. Raises KeyError when there is none, BrokenKindError when a package
    offers it that cannot be loaded."""
    if name not in BUILT_IN:
        return third_party.load(name)
    found: ActionKind[Any] = importlib.import_module(BUILT_IN[name]).KIND
    return found


def left_aside() -> Iterator[str]:
    """A sentence for every kind that an installed package offers and that cannot be had by its name."""
    return third_party.left_aside(BUILT_IN)
