"""Templates: what a rule's strings and the files in `templates/` become for one delivery.

Keeps four promises: a template sees documents as data only; HTML is escaped; a missing field is an error that
names it; a rendering is bounded in output and in work, and is never handed out in part.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, TemplateNotFound, TemplateSyntaxError, Undefined, nodes
from jinja2 import Template as CompiledTemplate
from jinja2.environment import TemplateExpression

from mtrigger.templates.environment import SandboxEnvironment, escapes
from mtrigger.templates.folder import ConfinedLoader
from mtrigger.templates.pieces import address_list, address_piece, escaped_piece
from mtrigger.templates.rendering import MOST_CHARACTERS, RenderError, collect, scope_of, work_bounded
from mtrigger.templates.syntax import (
    foreign_names,
    is_static,
    names_read,
    names_read_together,
    only_expression,
    references,
    static_text,
)
from mtrigger.templates.values import Scope, outgoing, printed

__all__ = [
    "MOST_CHARACTERS",
    "SCOPE_NAMES",
    "RenderError",
    "Scope",
    "Template",
    "TemplateMistake",
    "Templates",
    "ValueTemplate",
    "escapes",
    "is_static",
    "printed",
    "scope_of",
]

OF_ONE_EVENT = ("document", "message", "before", "event", "rule", "delivery", "changed", "now")
OF_MANY_EVENTS = ("held_back", "count", "group", "documents", "more", "sums", "resolved", "since")
SCOPE_NAMES = frozenset({*OF_ONE_EVENT, *OF_MANY_EVENTS})
"""The names every action's templates see."""


class TemplateMistake(Exception):  # noqa: N818 - a mistake in a file, as in errors.Mistake
    """A template that cannot be used: it does not compile, is not there, or lies outside the folder.

    `file` is the template's name within the folder, "" for inline text; `line` counts from 1.
    """

    def __init__(self, message: str, file: str = "", line: int = 1) -> None:
        self.message = message
        self.file = file
        self.line = line
        super().__init__(f"{file}:{line}: {message}" if file else message)


class Template:
    """A template, ready to render any number of times.

    `compiled` is None for a text without template code; then `fixed` is what it always renders to. `names`
    are those it may read of its scope, None for all.
    """

    __slots__ = ("_compiled", "_names", "fixed", "name", "source")

    def __init__(
        self, compiled: CompiledTemplate | None, source: str, name: str, names: frozenset[str] | None
    ) -> None:
        self._compiled = compiled
        self._names = names
        self.fixed = static_text(source) if compiled is None else None
        self.source = source
        self.name = name

    def render(self, scope: Mapping[str, Any]) -> str:
        """The text for `scope`. Raises RenderError; returns all of the text or nothing."""
        if self._compiled is None:
            return self.fixed or ""
        fields = scope_of(scope)
        with work_bounded(fields, self.name):
            return collect(self._compiled.generate(fields.only(self._names)))


class ValueTemplate:
    """An inline template for a value: `{{ … }}` alone keeps the value and its type, anything else is text."""

    __slots__ = ("_expression", "_names", "_text")

    def __init__(
        self, text: Template, expression: TemplateExpression | None, names: frozenset[str] | None
    ) -> None:
        self._text = text
        self._expression = expression
        self._names = names

    def render(self, scope: Mapping[str, Any]) -> Any:
        """The value for `scope`, ready for BSON (Decimal128, dicts, lists). Raises RenderError."""
        if self._expression is None:
            return self._text.render(scope)
        fields = scope_of(scope)
        with work_bounded(fields, ""):
            value = self._expression(fields.only(self._names))
            if isinstance(value, Undefined):
                str(value)  # raises, naming what is missing
            return outgoing(value)


class Templates:
    """The templates of one set of rules: files below `folder`, and the inline texts of the rules.

    Everything is compiled once. A changed file is seen by a new `Templates`.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._environment = SandboxEnvironment(ConfinedLoader(folder) if folder is not None else None)
        self._html = self._environment.overlay(autoescape=_escapes_unnamed)
        self._addresses = self._environment.overlay(finalize=address_piece)
        self._address_lists = self._environment.overlay(finalize=address_list)
        self._escaping: dict[Callable[[str], str], SandboxEnvironment] = {}
        self._inline: dict[tuple[str, str], Template] = {}
        self._files: dict[str, Template] = {}
        self._trees: dict[str, nodes.Template] = {}

    def text(self, source: str) -> Template:
        """An inline template whose values are put in as they are. Raises TemplateMistake."""
        return self._compile("text", source, self._environment)

    def html(self, source: str) -> Template:
        """An inline template whose values are escaped for HTML. Raises TemplateMistake."""
        return self._compile("html", source, self._html)

    def address(self, source: str) -> Template:
        """An inline template for mail addresses. Raises TemplateMistake.

        `{{ … }}` alone may be any list of addresses. A value beside other text is a piece of one address:
        what parts addresses from each other or from names (`,` `;` `<` `>` quotes) is left out of it, so that
        a name in a document cannot add a recipient.
        """
        if only_expression(self._environment, self.text(source).source) is not None:
            return self._compile("addresses", source, self._address_lists)
        return self._compile("address", source, self._addresses)

    def escaped(self, source: str, escape: Callable[[str], str]) -> Template:
        """An inline template whose values go through `escape` once they are text, for the markup of a chat.
        Raises TemplateMistake."""
        if escape not in self._escaping:
            self._escaping[escape] = self._environment.overlay(
                autoescape=True, finalize=partial(escaped_piece, escape)
            )
        return self._compile(f"escaped by {escape.__qualname__}", source, self._escaping[escape])

    def value(self, source: str) -> ValueTemplate:
        """An inline template for a value that may keep its type. Raises TemplateMistake."""
        text = self.text(source)
        expression = only_expression(self._environment, source)
        if expression is None:
            return ValueTemplate(text, None, None)
        compiled = self._environment.compile_expression(expression, undefined_to_none=False)
        return ValueTemplate(text, compiled, names_read(self._tree(source)))

    def file(self, name: str) -> Template:
        """The template file `name`, a path within the folder; HTML and XML by suffix are escaped.

        The templates it extends and includes by name are compiled too. Raises TemplateMistake.
        """
        if name not in self._files:
            self._files[name] = self._load(name, ())
        return self._files[name]

    def has(self, name: str) -> bool:
        """Whether there is a readable template file `name` within the folder."""
        loader = self._environment.loader
        if loader is None:
            return False
        try:
            loader.get_source(self._environment, name)
        except (TemplateNotFound, OSError, UnicodeDecodeError):
            return False
        return True

    def mistakes(self, template: Template, names: frozenset[str] = SCOPE_NAMES) -> Iterator[TemplateMistake]:
        """Names that `template` or a template it uses reads, but neither `names` nor they themselves give."""
        group: dict[str, nodes.Template] = {}
        self._gather(template.name, template.source, group)
        for file, line, name in foreign_names(group, names | self._environment.globals.keys()):
            close = difflib.get_close_matches(name, OF_ONE_EVENT, n=1)
            hint = (
                f"did you mean {close[0]!r}?"
                if close
                else f"a field of the document is written document.{name}"
            )
            yield TemplateMistake(f"there is no {name!r} here; {hint}", file, line)

    def reads(self, template: Template) -> frozenset[str] | None:
        """The names of SCOPE_NAMES that `template` or a template it uses may read; None when it cannot be
        told, because the name of one it uses is not fixed."""
        if template.fixed is not None:
            return frozenset()
        group: dict[str, nodes.Template] = {}
        self._gather(template.name, template.source, group)
        names = names_read_together(group.values())
        return None if names is None else names & SCOPE_NAMES

    def _gather(self, name: str, source: str, group: dict[str, nodes.Template]) -> None:
        group[name] = self._tree(source)
        for reference, _ in references(group[name]):
            if reference not in group:
                self._gather(reference, self.file(reference).source, group)

    def _compile(self, kind: str, source: str, environment: SandboxEnvironment) -> Template:
        known = self._inline.get((kind, source))
        if known is None and is_static(source):
            known = self._inline[kind, source] = Template(None, source, "", frozenset())
        elif known is None:
            compiled = _compiled(environment, lambda: environment.from_string(self._tree(source)), "")
            names = names_read(self._tree(source))
            known = self._inline[kind, source] = Template(compiled, source, "", names)
            self._check_references(known, ())
        return known

    def _tree(self, source: str) -> nodes.Template:
        """The syntax tree of a text, parsed once for all who look at it. Raises TemplateSyntaxError."""
        if source not in self._trees:
            self._trees[source] = self._environment.parse(source)
        return self._trees[source]

    def _load(self, name: str, above: tuple[str, ...]) -> Template:
        loader = self._environment.loader
        if loader is None:
            raise TemplateMistake(f"there is no templates folder to find {name!r} in")
        try:
            source = loader.get_source(self._environment, name)[0]
        except TemplateNotFound:
            raise TemplateMistake(self._not_found(name)) from None
        except UnicodeDecodeError as error:
            raise TemplateMistake(f"not UTF-8 text (byte {error.start + 1})", name) from None
        except OSError as error:
            raise TemplateMistake(f"cannot be read: {error.strerror}", name) from None
        compiled = _compiled(self._environment, lambda: self._environment.get_template(name), name)
        template = Template(compiled, source, name, names_read(self._tree(source)))
        self._check_references(template, (*above, name))
        return template

    def _check_references(self, template: Template, above: tuple[str, ...]) -> None:
        for reference, line in references(self._tree(template.source)):
            if reference in above or reference in self._files:
                continue
            try:
                self._files[reference] = self._load(reference, above)
            except TemplateMistake as mistake:
                if mistake.file:
                    raise
                raise TemplateMistake(mistake.message, template.name, line) from None

    def _not_found(self, name: str) -> str:
        assert self.folder is not None
        if not self.folder.is_dir():
            return f"there is no template {name!r}: the templates folder {self.folder} does not exist"
        if ".." in Path(name).parts or Path(name).is_absolute() or (self.folder / name).exists():
            return f"the template {name!r} is not a file within the templates folder {self.folder}"
        assert self._environment.loader is not None
        close = difflib.get_close_matches(name, self._environment.loader.list_templates(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"there is no template {name!r} in {self.folder}{hint}"


def _escapes_unnamed(name: str | None) -> bool:
    return name is None or escapes(name)


def _compiled(
    environment: Environment, compile_it: Callable[[], CompiledTemplate], name: str
) -> CompiledTemplate:
    try:
        return compile_it()
    except TemplateSyntaxError as error:
        message = (error.message or "does not compile").rstrip(".")
        unknown = re.fullmatch(r"No filter named '(.+)'", message)
        close = difflib.get_close_matches(unknown[1], environment.filters, n=1) if unknown else []
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise TemplateMistake(message + hint, error.name or name, error.lineno) from None
    except RecursionError:
        raise TemplateMistake("nested too deeply", name) from None
