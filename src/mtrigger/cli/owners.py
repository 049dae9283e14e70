"""Who watches the stream, as the operator's commands show it, and whether they may get in its way."""

from collections.abc import Mapping
from typing import Any

from mtrigger.stores.base import Store


async def owner(store: Store, stream: str) -> dict[str, Any] | None:
    """The owner of `stream` and whether it watches now, by the database's clock; None before the first."""
    from mtrigger.ownership.processes import is_gone, shown

    lease = await store.leases.current(stream)
    if lease is None or not lease.owner:
        return None
    silent = await store.leases.renewed_ago(stream)
    moves = not lease.released and not is_gone(lease.owner) and silent is not None and silent < lease.seconds
    return {
        "owner": lease.owner,
        "name": shown(lease.owner),
        "epoch": lease.epoch,
        "lease_seconds": lease.seconds,
        "renewed_seconds_ago": silent,
        "released": lease.released,
        "watching": moves,
    }


def sentence(found: Mapping[str, Any] | None) -> str:
    """The same in one line."""
    from mtrigger.cli.output import span

    if found is None:
        return "nobody yet"
    if found["released"]:
        return f"nobody; the last one, {found['name']}, ended in good order"
    silent = found["renewed_seconds_ago"]
    heard = f"heard from {span(silent)} ago" if silent is not None else "never heard from"
    return f"{found['name']}, {heard}" if found["watching"] else f"nobody; {found['name']} is gone, {heard}"


async def refuse_if_watched(store: Store, stream: str, *, force: bool) -> None:
    """Raise OwnershipError when a process watches `stream`, unless that is to be overruled.

    Takes up to the lease time where that can only be told by waiting.
    """
    from mtrigger.cli.output import say
    from mtrigger.errors import OwnershipError
    from mtrigger.ownership.processes import is_gone, shown
    from mtrigger.ownership.standby import is_kept

    lease = await store.leases.current(stream)
    if force or lease is None or lease.released or is_gone(lease.owner):
        return
    name = shown(lease.owner)
    say(f"looking whether {name} still watches: {lease.seconds:g} s at most")
    if await is_kept(store.leases, stream):
        raise OwnershipError(
            f"{name} watches the stream at this moment: stop it first. (With --force its position is taken "
            "from it: it stops with exit code 75.)"
        )
