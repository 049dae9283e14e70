"""The partitions of the stream, as the operator's commands meet them."""

from mtrigger.partitions import UNDIVIDED, Partition, partitions
from mtrigger.stores.base import Checkpoint, Store


async def division(store: Store) -> tuple[Partition, ...]:
    """The partitions of the layout that is in force; the undivided stream before the first start."""
    layout = await store.layouts.current()
    return partitions(layout.partitions) if layout is not None else (UNDIVIDED,)


def earliest(found: list[Checkpoint]) -> Checkpoint | None:
    """The position of the stream as a whole: everything before it has been dealt with."""
    return min(found, key=lambda checkpoint: checkpoint.cluster_time, default=None)
