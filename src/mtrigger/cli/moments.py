"""Values of options that people write in more than one way: moments, and MongoDB filters."""

from datetime import UTC, datetime, timedelta
from typing import Any

import click


class MomentType(click.ParamType[datetime]):
    """A moment: an ISO 8601 time with its zone, or how long ago it was (`2h`)."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment, aware."""
        if isinstance(value, datetime):
            return value
        from mtrigger.config_types import parse_duration

        text = str(value)
        try:
            return datetime.now(UTC) - timedelta(seconds=parse_duration(text.removesuffix("ago").strip()))
        except ValueError:
            pass  # no duration: then it is a time
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is no time: write 2026-01-31T10:00:00Z, or 2h for two hours ago", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"say the zone of {text!r}: {moment.isoformat()}Z, or with +09:00", param, ctx)
        return moment


class QueryType(click.ParamType[dict[str, Any]]):
    """A MongoDB filter, as (Extended) JSON."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """The filter as a dictionary."""
        if isinstance(value, dict):
            return value
        from bson import json_util

        try:
            query = json_util.loads(str(value))
        except ValueError as error:
            self.fail(f"{value!r} is no JSON: {error}", param, ctx)
        if not isinstance(query, dict):
            self.fail('it is a MongoDB filter in braces, such as \'{"amount": {"$gt": 10000}}\'', param, ctx)
        return query
