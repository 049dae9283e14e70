"""Values that people write on the command line: Extended JSON, with dates that are aware."""

from datetime import UTC
from typing import Any

import click
from bson import json_util
from bson.errors import BSONError

_OPTIONS = json_util.RELAXED_JSON_OPTIONS.with_options(tz_aware=True, tzinfo=UTC)


def read_json(text: str, what: str) -> Any:
    """The value that `text` is. Raises UsageError, which calls it `what`."""
    try:
        return json_util.loads(text, json_options=_OPTIONS)
    except (ValueError, TypeError, BSONError, RecursionError) as error:
        hint = f" (for a text, write '\"{text}\"')" if text.replace(" ", "").isalnum() else ""
        raise click.UsageError(f"{what} is not JSON: {error}{hint}") from error
