"""Kinds of actions that other packages bring, found by their entry points in the group `mtrigger.actions`.

Promises: what is installed is looked through once, and only when somebody asks for a kind that is not built
in or for all of them; what is not used is not imported; and a package that cannot be loaded is named, with
its error, and hurts only the rules that use it. The same holds for one that fails while its settings are
looked at or its action is made.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from mtrigger.actions.base import ActionConfig, ActionKind, ConfigMistake
from mtrigger.errors import SettingsError
from mtrigger.templates import Templates

GROUP = "mtrigger.actions"

_NAME = re.compile(r"[a-z][a-z0-9_]*")  # no hyphen: `sms-2` is the second `sms` of a rule


class BrokenKindError(SettingsError):
    """A package offers this kind of action, but it cannot be used; the message names both and says why."""


@lru_cache
def offered() -> Mapping[str, EntryPoint]:
    """The entry points by name; the first one where several packages offer the same."""
    found: dict[str, EntryPoint] = {}
    for entry in _entries():
        if _NAME.fullmatch(entry.name):
            found.setdefault(entry.name, entry)
    return found


def load(name: str) -> ActionKind[Any]:
    """The kind that a package offers as `name`. Raises KeyError when none does, and BrokenKindError."""
    entry = offered()[name]
    try:
        kind = entry.load()
    except (Exception, SystemExit) as error:  # a package may raise anything while it is imported
        raise BrokenKindError(
            f"the action `{name}` of the package {_package(entry)} cannot be loaded: "
            f"{type(error).__name__}: {error}; mend the package, or uninstall it"
        ) from error
    if not (isinstance(kind, ActionKind) and issubclass(kind.config, ActionConfig)):
        raise BrokenKindError(
            f"the action `{name}` of the package {_package(entry)} cannot be used: {entry.value} is not an "
            "ActionKind with settings made from ActionConfig (mtrigger.actions.base)"
        )
    return _guarded(kind, entry)


def _guarded(kind: ActionKind[Any], entry: EntryPoint) -> ActionKind[Any]:
    """`kind`, whose functions raise BrokenKindError whatever they fail with."""

    def guard(verb: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except (Exception, SystemExit) as error:  # a package may raise anything here, too
                raise BrokenKindError(
                    f"the action `{entry.name}` of the package {_package(entry)} fails in its `{verb}`: "
                    f"{type(error).__name__}: {error}; mend the package, or uninstall it"
                ) from error

        return call

    def mistakes(config: ActionConfig, templates: Templates) -> Iterator[ConfigMistake]:
        return iter(list(kind.mistakes(config, templates)))  # all of them now, while somebody minds

    return replace(
        kind,
        mistakes=guard("mistakes", mistakes),
        reads=guard("reads", kind.reads),
        open=guard("open", kind.open),
        split=guard("split", kind.split),
        needs=guard("needs", kind.needs),
        writes=guard("writes", kind.writes),
    )


def left_aside(built_in: Collection[str]) -> Iterator[str]:
    """A sentence for every kind that is offered and cannot be had by its name."""
    for entry in _entries():
        brings = f"the package {_package(entry)} brings an action `{entry.name}`"
        if entry.name in built_in:
            yield f"{brings}, which mtrigger has itself: the built-in one is used"
        elif not _NAME.fullmatch(entry.name):
            yield f"{brings}, which is no name for one (small letters, digits and `_`): it is not used"
        elif offered()[entry.name] != entry:
            yield f"{brings}, as does {_package(offered()[entry.name])}, whose action is used"


@lru_cache
def _entries() -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, _package(entry))))


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.module
