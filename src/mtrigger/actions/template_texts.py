"""The template texts in an action's settings: what is wrong with them, and what they read.

Most texts hold nothing but plain fields. Those are told apart without compiling anything, because a folder
may hold thousands of rules.
"""

import re
from collections.abc import Iterable, Iterator

from mtrigger.actions.base import ConfigMistake
from mtrigger.templates import SCOPE_NAMES, TemplateMistake, Templates, is_static

_PLAIN_FIELD = re.compile(
    rf"(?<!\{{)\{{\{{ *({'|'.join(sorted(SCOPE_NAMES))})(?:\.[A-Za-z_][A-Za-z0-9_]*)* *\}}\}}"
)
"""`{{ document.customer.name }}`: a known name (the group) and fields of it, without filters or the like."""


def text_mistakes(source: str, path: tuple[str | int, ...], templates: Templates) -> Iterator[ConfigMistake]:
    """Mistakes of the inline template `source`, which stands at `path` of the settings."""
    if is_static(_PLAIN_FIELD.sub(" ", source)):
        return  # nothing can be wrong with it; most texts are like that, and compiling takes time
    try:
        template = templates.text(source)
    except TemplateMistake as mistake:
        yield ConfigMistake(path, mistake.message, 0 if mistake.file else mistake.line, file=mistake.file)
        return
    for found in templates.mistakes(template):
        yield ConfigMistake(path, found.message, found.line, file=found.file)


def names_in(
    sources: Iterable[str], templates: Templates, files: Iterable[str] = ()
) -> frozenset[str] | None:
    """The names of the scope that the inline templates `sources` and the template files `files` may read;
    None when it cannot be told. They are without mistakes."""
    found = [_names_in(source, templates) for source in sources]
    found += [templates.reads(templates.file(name)) for name in files]
    known = [names for names in found if names is not None]
    return frozenset().union(*known) if len(known) == len(found) else None


def _names_in(source: str, templates: Templates) -> frozenset[str] | None:
    if is_static(_PLAIN_FIELD.sub(" ", source)):
        return frozenset(_PLAIN_FIELD.findall(source))
    return templates.reads(templates.text(source))
