"""The layout in memory, which only the process that made it ever sees."""

from mtrigger.partitions import Partition
from mtrigger.stores.layouts import Layout, in_force


class MemoryLayouts:
    """The layout of the stream."""

    def __init__(self) -> None:
        self._layout: Layout | None = None
        self._announced = ""
        self._completed = ""

    async def current(self) -> Layout | None:
        return self._layout

    async def begin(self, partitions: int) -> Layout:
        self._layout = self._layout or Layout(partitions)
        return self._layout

    async def announce(self, change: str, partitions: int) -> bool:
        if self._layout is None or self._layout.partitions != partitions:
            return False
        self._announced = change
        return True

    async def complete(self, change: str, partitions: int) -> bool:
        if self._announced == change and self._layout is not None:
            self._layout = Layout(partitions, self._layout.changes + 1)
            self._announced, self._completed = "", change
        return self._completed == change

    async def adopt(self, partition: Partition) -> int:
        """Always 0: who keeps the state in memory has begun with this layout, and has nothing of another."""
        return 0

    def still_in_force(self, stream: str) -> bool:
        """Whether `stream` may be taken; undoes a change of the layout that was announced."""
        if not in_force(self._layout, stream):
            return False
        self._announced = ""
        return True
