"""Leases in memory: between the engines of one process, as a dry run and tests have them."""

import time
from dataclasses import replace

from mtrigger.ownership.lease import Lease
from mtrigger.stores.base import Checkpoint
from mtrigger.stores.memory_layouts import MemoryLayouts


class MemoryLeases:
    """The leases in a dictionary of checkpoints that somebody else keeps."""

    def __init__(self, checkpoints: dict[str, Checkpoint], layouts: MemoryLayouts) -> None:
        self._checkpoints = checkpoints
        self._layouts = layouts
        self._renewed_at: dict[str, float] = {}

    async def current(self, stream: str) -> Lease | None:
        stored = self._checkpoints.get(stream)
        return stored.lease if stored is not None else None

    async def take(self, stream: str, seen: Lease | None, owner: str, seconds: float) -> Checkpoint | None:
        stored = self._checkpoints.get(stream)
        if stored is None or stored.lease != seen or not self._layouts.still_in_force(stream):
            return None
        epoch, counter = (seen.epoch, seen.counter) if seen is not None else (0, 0)
        return self._write(stored, Lease(owner, epoch + 1, counter + 1, seconds))

    async def renew(self, stream: str, lease: Lease) -> bool:
        stored = self._held(stream, lease)
        if stored is None or stored.lease is None:
            return False
        self._write(stored, replace(stored.lease, counter=stored.lease.counter + 1))
        return True

    async def release(self, stream: str, lease: Lease) -> None:
        stored = self._held(stream, lease)
        if stored is not None and stored.lease is not None:
            self._checkpoints[stream] = replace(stored, lease=replace(stored.lease, released=True))

    async def ask(self, stream: str, lease: Lease, by: str) -> None:
        stored = self._held(stream, lease)
        if stored is not None and stored.lease is not None:
            self._checkpoints[stream] = replace(stored, lease=replace(stored.lease, asked_by=by))

    async def retire(self, stream: str, lease: Lease) -> None:
        if self._held(stream, lease) is not None:
            del self._checkpoints[stream]

    async def renewed_ago(self, stream: str) -> float | None:
        at = self._renewed_at.get(stream)
        return None if at is None else time.monotonic() - at

    def _held(self, stream: str, lease: Lease) -> Checkpoint | None:
        stored = self._checkpoints.get(stream)
        if stored is None or stored.lease is None or not stored.lease.is_held_by(lease):
            return None
        return stored

    def _write(self, stored: Checkpoint, lease: Lease) -> Checkpoint:
        self._renewed_at[stored.stream] = time.monotonic()
        self._checkpoints[stored.stream] = replace(stored, lease=lease)
        return self._checkpoints[stored.stream]
