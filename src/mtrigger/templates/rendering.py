"""One rendering: the scope it is given, the bounds it works under, and errors that say where.

Whatever goes wrong in a template becomes a `RenderError`, a permanent error: the same document and the same
template fail again on every attempt.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import DecimalException
from types import TracebackType
from typing import Any

from jinja2 import TemplateNotFound, UndefinedError
from jinja2.exceptions import SecurityError

from mtrigger.errors import PermanentError
from mtrigger.templates.environment import Rendering, rendering
from mtrigger.templates.values import Scope

MOST_CHARACTERS = 1024 * 1024
"""The longest text one template may produce."""

INLINE_FILENAME = "<template>"  # what Jinja calls a template that is no file


class RenderError(PermanentError):
    """A template failed for this document: `message` says why, `file` ("" if inline) and `line` where."""

    def __init__(self, message: str, file: str = "", line: int = 0, part: str = "") -> None:
        self.message = message
        self.file = file
        self.line = line
        where = [part] if part else []
        if file or line > 1:
            where.append(f"{file}:{line}" if file and line else file or f"line {line}")
        super().__init__(": ".join([*where, message]))

    def within(self, part: str) -> "RenderError":
        """The same error, saying which part of an action (such as "subject") the template stands in."""
        return RenderError(self.message, self.file, self.line, part)


def scope_of(scope: Mapping[str, Any]) -> Scope:
    """`scope` as templates see it. Make it once to render many templates with it."""
    return scope if isinstance(scope, Scope) else Scope(scope)


@contextmanager
def work_bounded(scope: Scope, name: str) -> Iterator[None]:
    """Count the work of one rendering of the template `name`, and turn what goes wrong into RenderError."""
    token = rendering.set(Rendering(scope))
    try:
        yield
    except RenderError:
        raise
    except RecursionError:
        raise RenderError("the template calls or includes itself without end", name) from None
    except TemplateNotFound as error:
        raise RenderError(f"there is no template {error.name!r}", name) from None
    except Exception as error:  # whatever a template can raise fails this delivery, and nothing else
        file, line = _place(error.__traceback__, name)
        raise RenderError(_sentence(error), file, line) from error
    finally:
        rendering.reset(token)


def collect(pieces: Iterator[str]) -> str:
    """All `pieces` as one text. Raises RenderError as soon as they exceed MOST_CHARACTERS."""
    collected: list[str] = []
    length = 0
    for piece in pieces:
        length += len(piece)
        if length > MOST_CHARACTERS:
            raise OverflowError(f"the result is longer than {MOST_CHARACTERS:,} characters")
        collected.append(piece)
    return "".join(collected)


def _sentence(error: Exception) -> str:
    if isinstance(error, UndefinedError | SecurityError | ValueError | OverflowError):
        return str(error)
    if isinstance(error, ZeroDivisionError | DecimalException):
        return "a division by zero, or a number out of range"
    return f"{type(error).__name__}: {error}"


def _place(trace: TracebackType | None, name: str) -> tuple[str, int]:
    """File and line of the innermost template frame; Jinja has put template lines into the traceback."""
    place = (name, 0)
    while trace is not None:
        code, names = trace.tb_frame.f_code, trace.tb_frame.f_globals
        if "__jinja_exception__" in names:
            place = ("" if code.co_filename == INLINE_FILENAME else code.co_filename, trace.tb_lineno)
        trace = trace.tb_next
    return place
