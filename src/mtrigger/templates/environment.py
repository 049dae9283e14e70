"""The Jinja environment: a sandbox in which documents are data and nothing runs without end.

Three things on top of Jinja's ImmutableSandboxedEnvironment:

* A dot on a mapping is a key look-up, never a method: `document.items` is the field `items`.
* A missing field is a value that refuses to be printed or computed with, and says what is missing and what
  may have been meant. `is defined`, `default(…)` and `and`/`or` after `is defined` work through any depth.
* What a document could blow up is counted: loop steps in one rendering, widths, repetitions, powers.
"""

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from jinja2 import BaseLoader, StrictUndefined, Undefined, nodes, pass_context
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from mtrigger.templates.filters import FILTERS, TESTS, kind_of, same_kind
from mtrigger.templates.values import Fields, Scope, extended_json, printed

MOST_STEPS = 1_000_000
"""Loop steps in one rendering, all loops together."""
MOST_REPETITIONS = 1_000_000
_WIDEST = 1_000
_LARGEST_POWER_BITS = 10_000

_MARKUP_SUFFIXES = (".html", ".htm", ".xhtml", ".xml", ".svg")
_TEMPLATE_SUFFIXES = (".j2", ".jinja", ".jinja2")
_MAPPING_METHODS = frozenset({"items", "keys", "values", "get"})
_WIDE_FORMAT = re.compile(r"[*]|\d{4,}|\{[^{}]*\{")
_PADDING_METHODS = frozenset({"center", "expandtabs", "ljust", "rjust", "zfill"})


@dataclass(slots=True)
class Rendering:
    """What one rendering has used up, and the names it was given."""

    scope: Scope
    steps: int = 0


rendering: ContextVar[Rendering | None] = ContextVar("rendering", default=None)


def escapes(name: str | None) -> bool:
    """Whether a template of this file name is HTML or XML (`x.html`, `x.html.j2`, `x.xml.j2` …)."""
    stem = name or ""
    for suffix in _TEMPLATE_SUFFIXES:
        stem = stem.removesuffix(suffix)
    return stem.lower().endswith(_MARKUP_SUFFIXES)


class MissingValue(StrictUndefined):
    """A name or field that is not there. Going deeper into it stays missing; using it raises."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        owner, name = self._undefined_obj, self._undefined_name
        if isinstance(owner, Fields):
            hint = "" if name in owner else _did_you_mean(str(name), owner)
            if not hint and name in _MAPPING_METHODS:
                hint = f"; to go through its fields write `{owner.path or 'document'} | items`"
            return f"{owner.path or 'the document'} has no field {name!r}{hint}"
        if owner is None:
            return f"null has no field {name!r}"
        if isinstance(name, int):
            return f"there is no element {name} in {kind_of(owner)}"
        current = rendering.get()
        if owner is missing:
            hint = _hint_for_name(str(name), current.scope) if current is not None else ""
            return f"there is no {name!r} here{hint}"
        return f"{kind_of(owner)} has no field {name!r}"


def _hint_for_name(name: str, scope: Scope) -> str:
    document = scope.get("document")
    if isinstance(document, dict) and name in document:
        return f"; a field of the document is written document.{name}"
    return _did_you_mean(name, scope)


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known)[:1000], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


class SandboxEnvironment(ImmutableSandboxedEnvironment):
    """See the module."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, loader: BaseLoader | None) -> None:
        super().__init__(
            loader=loader,
            undefined=MissingValue,
            autoescape=escapes,
            finalize=printed,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self.filters.update(FILTERS)
        self.tests.update(TESTS)
        for name in ("batch", "center", "indent", "slice"):
            self.filters[name] = _narrow(JINJA_FILTERS[name])
        self.filters["format"] = _tame_format(JINJA_FILTERS["format"])
        self.filters["_counted"] = counted
        self.policies["json.dumps_function"] = lambda value, **_: extended_json(value)
        del self.globals["lipsum"]

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """The names that are always there. Each rendering copies them: from a dict sooner than from Jinja's
        own ChainMap, which would follow later changes; here nothing is changed later.
        """
        return {**self.globals, **(d or {})}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """The field `attribute`; for what is not a mapping, the attribute if the sandbox allows it."""
        if type(obj) is Fields and attribute in obj:
            return obj[attribute]
        if isinstance(obj, Undefined):
            return obj
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """The element or field `argument`."""
        if isinstance(obj, Undefined):
            return obj
        if isinstance(obj, Mapping):
            found = isinstance(argument, str | int) and argument in obj
            return obj[argument] if found else self.undefined(obj=obj, name=argument)
        return super().getitem(obj, argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic across number types, with what it may produce bounded."""
        left, right = same_kind(left, right)
        if operator == "*":
            _check_repetition(left, right)
            _check_repetition(right, left)
        elif operator == "**":
            _check_power(left, right)
        elif operator == "%" and isinstance(left, str):
            _check_format(left)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call `function`, unless it is a text method asked for an absurd width."""
        owner = getattr(function, "__self__", None) or getattr(
            getattr(function, "__wrapped__", None), "__self__", None
        )
        if isinstance(owner, str):
            method = getattr(function, "__name__", "")
            if method in _PADDING_METHODS:
                _check_widths(args)
            elif method in ("format", "format_map"):
                _check_format(owner)
        return super().call(context, function, *args, **kwargs)

    def _generate(
        self,
        source: nodes.Template,
        name: str | None,
        filename: str | None,
        defer_init: bool = False,  # noqa: FBT001 - Jinja's own signature
    ) -> str:
        for loop in source.find_all(nodes.For):
            steps = nodes.Filter(loop.iter, "_counted", [], [], None, None)
            loop.iter = steps.set_lineno(loop.lineno).set_environment(self)
        return super()._generate(source, name, filename, defer_init)


@pass_context
def counted(_context: Context, iterable: Iterable[Any]) -> Iterator[Any]:
    """`iterable`, counted against the rendering's steps. (Given the context so that Jinja cannot fold it.)"""
    current = rendering.get()
    for item in iterable:
        if current is not None:
            current.steps += 1
            if current.steps > MOST_STEPS:
                raise OverflowError(f"more than {MOST_STEPS:,} loop steps")
        yield item


def _narrow(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def narrow(*args: Any, **kwargs: Any) -> Any:
        _check_widths((*args, *kwargs.values()))
        return function(*args, **kwargs)

    return narrow


def _tame_format(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def tame(value: str, *args: Any, **kwargs: Any) -> Any:
        _check_format(str(value))
        return function(value, *args, **kwargs)

    return tame


def _check_widths(values: Iterable[Any]) -> None:
    if any(isinstance(value, int) and abs(value) > _WIDEST for value in values):
        raise OverflowError(f"widths and counts go up to {_WIDEST:,}")


def _check_format(text: str) -> None:
    if _WIDE_FORMAT.search(text):
        raise OverflowError("a format with a width of four digits, `*` or nested braces is refused")


def _check_repetition(sequence: Any, times: Any) -> None:
    repeated = isinstance(times, int) and isinstance(sequence, str | bytes | list | tuple)
    if repeated and len(sequence) * times > MOST_REPETITIONS:
        raise OverflowError(f"a repetition longer than {MOST_REPETITIONS:,} is refused")


def _check_power(base: Any, exponent: Any) -> None:
    if not isinstance(base, int) or not isinstance(exponent, int):
        return
    if abs(exponent) * max(base.bit_length(), 1) > _LARGEST_POWER_BITS:
        raise OverflowError("the power is too large")
