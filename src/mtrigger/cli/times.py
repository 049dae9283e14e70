"""How schedules are shown: the next times, what is looked up."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from mtrigger.quiet import Query, Schedule

_SHOWN = 3
"""So many of the next times are shown."""


def next_times(schedule: Schedule) -> str:
    """What the schedule means and its next times, in one line."""
    from mtrigger.schedules import meaning, shown, times_after

    times = islice(times_after(schedule, datetime.now(UTC)), _SHOWN)
    return f"{meaning(schedule)}; next: {', '.join(shown(schedule, time) for time in times)}"


def schedule_json(schedule: Schedule) -> dict[str, Any]:
    """A schedule with its next times."""
    from mtrigger.cli.output import iso
    from mtrigger.schedules import meaning, times_after

    times = islice(times_after(schedule, datetime.now(UTC)), _SHOWN)
    return {
        "cron": schedule.cron,
        "timezone": schedule.zone.key,
        "catch_up": schedule.catch_up,
        "meaning": meaning(schedule),
        "next": [iso(time) for time in times],
        "query": _query_json(schedule.query) if schedule.query is not None else None,
    }


def schedule_facts(schedule: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What there is to say about a schedule, which is given as `schedule_json` makes it."""
    from mtrigger.cli.output import relaxed

    yield "events", f"its times: {schedule['meaning']}"
    yield "next", ", ".join(schedule["next"])
    yield "missed", f"catch_up: {schedule['catch_up']}"
    if (query := schedule["query"]) is not None:
        yield "query", query["collection"]
        if query["where"] is not None:
            yield "where", query["where"]
        if query["pipeline"]:
            yield "pipeline", relaxed(query["pipeline"])
        order = ", ".join(f"{'-' if way < 0 else ''}{path}" for path, way in query["sort"].items())
        yield "lists", f"{query['limit']} at most" + (f", by {order}" if order else "")


async def runs_json(store: Any) -> list[dict[str, str]]:
    """When scheduled rules run next, the soonest first."""
    from mtrigger.cli.output import iso

    runs = sorted((await store.schedules.all()).values(), key=lambda run: (run.at, run.rule))
    return [{"rule": run.rule, "at": iso(run.at)} for run in runs]


def run_lines(runs: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """The same for people."""
    if runs:
        soonest = ", ".join(f"{run['rule']} at {run['at']}" for run in runs[:_SHOWN])
        more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
        yield f"scheduled  {soonest}{more}"


def _json_values(stages: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Stages with their BSON values as relaxed Extended JSON."""
    import json

    from mtrigger.cli.output import relaxed

    found: list[Any] = json.loads(relaxed(list(stages))) if stages else []
    return found


def _query_json(query: Query) -> dict[str, Any]:
    return {
        "collection": query.collection,
        "where": query.where.text if query.where is not None else None,
        "pipeline": _json_values(query.pipeline),
        "sort": dict(query.sort),
        "limit": query.limit,
    }
