"""The action `log`: one line in mtrigger's own log."""

import logging
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from mtrigger.actions.base import ActionConfig, ActionKind, ConfigMistake, Preview, Work
from mtrigger.actions.services import Services
from mtrigger.actions.template_texts import names_in, text_mistakes
from mtrigger.templates import Template, Templates

_logger = logging.getLogger("mtrigger.rules")


class LogConfig(ActionConfig):
    """A line in the log."""

    message: str = Field(min_length=1, description="The line (a template)")
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="How important it is"
    )


class Log:
    """Writes the line, with the rule's and the delivery's names beside it."""

    def __init__(self, message: Template, level: int) -> None:
        self._message = message
        self._level = level

    async def run(self, work: Work) -> str:
        """Write the line. Raises RenderError."""
        line = self._message.render(work.scope)
        _logger.log(self._level, "%s", line, extra={"rule": work.rule, "delivery": work.delivery_id})
        return "logged"

    def preview(self, work: Work) -> Preview:
        """The line."""
        line = self._message.render(work.scope)
        return Preview(f"log: {line}", {logging.getLevelName(self._level).capitalize(): line})


def _mistakes(config: LogConfig, templates: Templates) -> Iterator[ConfigMistake]:
    yield from text_mistakes(config.message, ("message",), templates)


def _reads(config: LogConfig, templates: Templates) -> frozenset[str] | None:
    return names_in([config.message], templates)


def _open(config: LogConfig, services: Services) -> Log:
    level = logging.getLevelNamesMapping()[config.level.upper()]
    return Log(services.templates.text(config.message), level)


KIND = ActionKind("log", LogConfig, _mistakes, _reads, _open, shorthand="message")
