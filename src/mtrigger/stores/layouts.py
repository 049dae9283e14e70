"""Layouts: into how many partitions a stream is divided, durably, and how that is changed.

What every store promises: a partition's lease is taken only while its layout is in force, and taking one
undoes a change of the layout that was announced. So a change that was announced, confirmed by renewing the
lease of every partition of the old layout, and then completed, has found nobody at work.
"""

from dataclasses import dataclass
from typing import Protocol

from mtrigger.partitions import Partition


@dataclass(frozen=True, slots=True)
class Layout:
    """A stream in `partitions` parts. `changes` counts how often that has changed."""

    partitions: int
    changes: int = 0


class Layouts(Protocol):
    """The layout of the stream."""

    async def current(self) -> Layout | None:
        """What is in force; None before the first start."""
        ...

    async def begin(self, partitions: int) -> Layout:
        """Write the first layout. Returns the stored one: an earlier one if there was."""
        ...

    async def announce(self, change: str, partitions: int) -> bool:
        """Say that `change` (a text of its own) is about to leave a layout of so many partitions. False if
        that is not in force."""
        ...

    async def complete(self, change: str, partitions: int) -> bool:
        """Put the layout in force that `change` was announced for. False if it was undone meanwhile."""
        ...

    async def adopt(self, partition: Partition) -> int:
        """Make the open and dead deliveries of earlier layouts whose documents belong to `partition` its own.
        Returns how many there were. For the partition's owner."""
        ...


def in_force(layout: Layout | None, stream: str) -> bool:
    """Whether `stream` may be owned while `layout` is stored: it is a partition of it, or there is none."""
    if layout is None:
        return True
    try:
        return Partition.named(stream).count == layout.partitions
    except ValueError:
        return True
