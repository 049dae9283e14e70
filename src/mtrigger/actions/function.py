"""The action `function`: a Python function of the user's.

`async def` runs in mtrigger's own loop, a plain `def` in a thread. The function is imported when the rules
are checked, so a wrong name is found before any event comes. It is called with the names its signature asks
for (`document`, `event`, `before`, `rule`, `delivery`, `changed`, `now`), or with `(document, event)` if it
takes two arguments of other names. With `into`, what it returns is stored, exactly once for each delivery.
"""

import importlib
import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from bson import ObjectId
from pydantic import AfterValidator, Field

from mtrigger.actions.base import ActionConfig, ActionKind, ConfigMistake, Preview, Work
from mtrigger.actions.blocking import BlockingCalls
from mtrigger.actions.function_results import effect_of
from mtrigger.actions.services import Services
from mtrigger.actions.target_collections import TargetCollection
from mtrigger.config_types import Flag, Timeout, closest
from mtrigger.effects import Effect
from mtrigger.supervision.cutting import TimeLimit
from mtrigger.templates import SCOPE_NAMES, Templates

THREADS = 32
"""Calls of plain functions at the same time, those of all rules together; further ones wait for a thread."""

_SHOWN_OF_RESULT = 200
_TARGET = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"


def _valid_target(target: str) -> str:
    if not re.match(_TARGET, target):
        raise ValueError("a function is written as package.module:name")
    return target


class FunctionConfig(ActionConfig):
    """A call of a Python function."""

    function: Annotated[str, AfterValidator(_valid_target)] = Field(
        description="Which function: `package.module:name`", json_schema_extra={"pattern": _TARGET}
    )
    timeout: Timeout = Field(default=60.0, description="After this the attempt has failed")
    into: TargetCollection | None = Field(
        default=None,
        description="The collection with the document on which the fields that it returns are set",
        examples=["shop.products"],
    )
    upsert: Flag = Field(default=False, description="With `into`: make the document if it is not there")


class FunctionMistake(Exception):  # noqa: N818 - like TemplateMistake, a user's mistake and no failure
    """The function cannot be used as it is; the message says why."""


_calls = BlockingCalls(THREADS)


class Function:
    """Calls the function, in the loop or in a thread."""

    def __init__(self, config: FunctionConfig) -> None:
        self._config = config
        self._target = target = config.function
        self._timeout = config.timeout
        self._limit = TimeLimit(config.timeout)
        self._function = find_function(target)
        self._arguments = arguments_of(self._function, target)
        self._call = self._in_the_loop if _is_async(self._function) else self._in_a_thread

    async def run(self, work: Work) -> str | Effect:
        """Call it and return its result if that is a text, or what is to be written of it. Raises what it
        raises, and TimeoutError."""
        positional, named = self._arguments(work.scope)
        try:
            result = await self._call(own_copy(positional), own_copy(named))  # to change as it likes
        except SystemExit as error:  # would end the loop, and mtrigger with it
            raise RuntimeError(f"{self._target} called sys.exit({error.code!r})") from error
        if (into := self._config.into) is not None:
            effect = effect_of(result, work, self._target, into, upsert=self._config.upsert)
            return "" if effect is None else effect
        return result[:_SHOWN_OF_RESULT] if isinstance(result, str) else ""

    async def _in_the_loop(self, positional: Sequence[Any], named: Mapping[str, Any]) -> Any:
        return await self._awaited(self._function(*positional, **named))

    async def _in_a_thread(self, positional: Sequence[Any], named: Mapping[str, Any]) -> Any:
        call = partial(self._function, *positional, **named)
        result = await _calls.run(self._target, call, self._timeout)
        return await self._awaited(result) if inspect.isawaitable(result) else result

    async def _awaited(self, result: Awaitable[Any]) -> Any:
        try:
            async with self._limit.begun() as limited:
                return await result
        except TimeoutError:
            if not limited.expired:
                raise  # the function's own
            raise TimeoutError(f"{self._target} took longer than {self._timeout:g} s") from None

    def preview(self, work: Work) -> Preview:
        """Which function would be called with which arguments."""
        positional, named = self._arguments(work.scope)
        names = ", ".join(named) or ("document, event" if positional else "")
        call = f"{self._target}({names})"
        into = self._config.into
        return Preview(f"function: {call}", {"Call": call, **({"Into": into} if into else {})})


def find_function(target: str) -> Callable[..., Any]:
    """The function that `package.module:name` names. Raises FunctionMistake."""
    module_name, _, path = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise FunctionMistake(
                f"there is no module `{error.name}`; it is looked for where Python looks, in the current "
                "directory and in the folder that holds the rules folder"
            ) from error
        raise FunctionMistake(f"importing `{module_name}` failed: {error}") from error
    except (Exception, SystemExit) as error:  # a user's module may raise anything while it is imported
        raise FunctionMistake(f"importing `{module_name}` failed: {type(error).__name__}: {error}") from error
    for name in path.split("."):
        if not hasattr(found, name):
            near = closest(name, (known for known in dir(found) if not known.startswith("_")))
            hint = f"; did you mean `{near}`?" if near else ""
            raise FunctionMistake(f"`{module_name}` has no `{name}`{hint}")
        found = getattr(found, name)
    if not callable(found):
        raise FunctionMistake(f"`{target}` is not a function")
    function: Callable[..., Any] = found
    return function


def own_copy(value: Any) -> Any:
    """`value` in containers of its own, to be changed at will; ids, dates, numbers never change: shared."""
    if isinstance(value, dict):
        return {key: item if type(item) in _SHARED else own_copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [item if type(item) in _SHARED else own_copy(item) for item in value]
    return value


_SHARED = frozenset({str, int, float, bool, type(None), ObjectId, datetime})
"""Most values of most documents: told at once to be no containers."""


Arguments = tuple[tuple[Any, ...], dict[str, Any]]

_BY_POSITION = ("document", "event")


def arguments_of(function: Callable[..., Any], target: str) -> Callable[[Mapping[str, Any]], Arguments]:
    """How to make the function's arguments from the scope, by its signature. Raises FunctionMistake."""
    asked = names_asked(function, target)
    if asked is None:
        return lambda scope: (tuple(scope[name] for name in _BY_POSITION), {})
    return lambda scope: ((), {name: scope[name] for name in asked})


def names_asked(function: Callable[..., Any], target: str) -> frozenset[str] | None:
    """The names that the function asks for by its signature, None for `(document, event)`, whatever it calls
    them. Raises FunctionMistake."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None  # written in C, without a signature
    by_name = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    required = {
        p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    positional_only = {p.name for p in parameters if p.kind is p.POSITIONAL_ONLY}
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        by_name |= SCOPE_NAMES
    asked = by_name & SCOPE_NAMES
    if required <= asked and (asked or not any(p.kind is p.VAR_POSITIONAL for p in parameters)):
        return frozenset(asked)
    if not (asked & required) or positional_only:
        try:
            inspect.signature(function).bind(*_BY_POSITION)
        except TypeError:
            pass
        else:
            return None
    unknown = sorted(required - SCOPE_NAMES)
    if not unknown:
        raise FunctionMistake(f"`{target}` must take its arguments by name, or just (document, event)")
    near = closest(unknown[0], SCOPE_NAMES)
    hint = f"did you mean `{near}`?" if near else f"it can ask for: {', '.join(sorted(SCOPE_NAMES))}"
    raise FunctionMistake(f"`{target}` asks for `{unknown[0]}`, which is not there; {hint}")


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object whose __call__ is async
    )


def _mistakes(config: FunctionConfig, templates: Templates) -> Iterator[ConfigMistake]:
    try:
        function = find_function(config.function)
        arguments_of(function, config.function)
    except FunctionMistake as mistake:
        yield ConfigMistake(("function",), str(mistake))
        return
    if config.upsert and config.into is None:
        yield ConfigMistake(("upsert",), "`upsert` goes with `into`: say where what it returns is stored")
    if config.concurrency > THREADS and not _is_async(function):
        yield ConfigMistake(
            ("concurrency",),
            f"functions that are a plain `def` have {THREADS} threads together; write {THREADS} or less, "
            "or make it an `async def`",
        )


def _reads(config: FunctionConfig, templates: Templates) -> frozenset[str] | None:
    asked = names_asked(find_function(config.function), config.function)
    return frozenset(_BY_POSITION) if asked is None else asked


def _open(config: FunctionConfig, services: Services) -> Function:
    return Function(config)


def _writes(config: FunctionConfig) -> frozenset[str]:
    return frozenset() if config.into is None else frozenset({config.into})


KIND = ActionKind("function", FunctionConfig, _mistakes, _reads, _open, shorthand="function", writes=_writes)
