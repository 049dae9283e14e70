"""What rules remember from one delivery to the next (`deliveries.Memory`): the contract, and the store that
forgets.

Promise: a memory is durable before the outcome that changed it, and the one that was kept last counts.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mtrigger.deliveries import Memory

Fields = Mapping[str, Any]


class Memories(Protocol):
    """The memories of all rules, by their ids."""

    async def of(self, ids: Sequence[str]) -> Mapping[str, Fields]:
        """The fields of those of `ids` that are there and have not expired."""
        ...

    async def keep(self, memories: Sequence[Memory]) -> None:
        """Make `memories` durable; of one id, the last one."""
        ...


class MemoryMemories:
    """Memories in a dictionary."""

    def __init__(self) -> None:
        self._fields: dict[str, Fields] = {}

    async def of(self, ids: Sequence[str]) -> Mapping[str, Fields]:
        return {key: self._fields[key] for key in ids if key in self._fields}

    async def keep(self, memories: Sequence[Memory]) -> None:
        self._fields |= {memory.id: memory.fields for memory in memories}
