"""What is wrong with the template texts in an action's settings, as mistakes that say where."""

import re
from collections.abc import Iterator

from mtrigger.actions.base import ConfigMistake
from mtrigger.templates import SCOPE_NAMES, TemplateMistake, Templates, is_static

_PLAIN_FIELD = re.compile(
    rf"(?<!\{{)\{{\{{ *(?:{'|'.join(sorted(SCOPE_NAMES))})(?:\.[A-Za-z_][A-Za-z0-9_]*)* *\}}\}}"
)
"""`{{ document.customer.name }}`: a known name and fields of it, without filters or anything else."""


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
