"""What of a line lies in the outbox is brought into its memory, a page at a time.

Promise: nothing that this process has done itself is loaded again: a line that begins anew is loaded behind
the outcomes of what it has run.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from mtrigger.running.attempting import Runner, loaded
from mtrigger.running.digests import Digests
from mtrigger.running.lanes import Line
from mtrigger.running.settling import Settler
from mtrigger.running.windows import Windows
from mtrigger.stores.base import LineKey, Outbox


class Paging:
    """The pages of one partition's lines. A line's `runner` is None while its rule is not loaded."""

    def __init__(self, outbox: Outbox, partition: str, settler: Settler, digests: Digests) -> None:
        self._outbox = outbox
        self._partition = partition
        self._settler = settler
        self._digests = digests

    async def as_stored(self, key: LineKey, line: Line, runner: Runner | None) -> None:
        """Load a page while nothing runs: there are no outcomes to wait for."""
        await self._load(key, line, runner, _nothing)

    async def behind_outcomes(self, key: LineKey, line: Line, runner: Runner | None) -> None:
        """Load a page while deliveries run, of a line that begins anew once their outcomes are written."""
        await self._load(key, line, runner, self._settler.flush)

    async def _load(
        self, key: LineKey, line: Line, runner: Runner | None, before_all: Callable[[], Awaitable[None]]
    ) -> None:
        if isinstance(line, Windows):
            await self._digests.load(key, line, runner)
            return
        behind, room, mark = line.page()
        if not room:
            return  # what came late has filled it up meanwhile
        if not behind:
            await before_all()
        now = datetime.now(UTC)
        owed = await self._outbox.owed(self._partition, key, behind, room)
        line.load([loaded(delivery, runner) for delivery in owed], room, mark, now)


async def _nothing() -> None:
    """Where nothing has run, nothing is waited for."""
