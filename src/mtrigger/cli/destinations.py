"""Mail servers and hosts that are down, as `mtrigger status` shows them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mtrigger.stores.base import Store


async def found_down(store: Store) -> list[dict[str, Any]]:
    """What processes that run say is down, those that have been so longest first."""
    from mtrigger.cli.output import iso
    from mtrigger.ownership.processes import is_gone, shown

    now = datetime.now(UTC)
    return [
        {
            "destination": down.destination,
            "since": iso(down.since),
            "why": down.why,
            "tried_again_at": iso(down.probe_at),
            "tried_again_in_seconds": max(0, int((down.probe_at - now).total_seconds())),
            "waiting": down.waiting,
            "process": shown(down.by),
        }
        for down in await store.destinations.all()
        if not is_gone(down.by)
    ]


def down_lines(destinations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each of them; who says so where several processes do."""
    from mtrigger.cli.output import counted, one_line, span

    several = len({down["process"] for down in destinations}) > 1
    for down in destinations:
        seconds, number = down["tried_again_in_seconds"], down["waiting"]
        again = f"tried again in {span(seconds)}" if seconds else "being tried again"
        waits = counted(number, "delivery") + (" waits" if number == 1 else " wait")
        by = f", says {down['process']}" if several else ""
        why = one_line(down["why"])
        yield f"down       {one_line(down['destination'])} since {down['since']}, {again}, {waits}{by}: {why}"
