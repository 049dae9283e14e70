"""What an attempt is made within: it begins while the lease is held, and is cut off once it runs out."""

from collections.abc import Awaitable, Callable
from types import TracebackType

from mtrigger.ownership.lease import Interrupted
from mtrigger.supervision.cutting import Cut


class Permit:
    """One task's permit for an attempt, and when that has ended for the next one; in `given` meanwhile."""

    __slots__ = ("_given", "_passed", "cut")

    def __init__(self, passed: Callable[[], Awaitable[None]], given: "set[Permit]") -> None:
        """`passed` returns once attempts may begin."""
        self._passed = passed
        self._given = given
        self.cut = Cut()

    async def __aenter__(self) -> None:
        await self._passed()
        self.cut.begin()
        self._given.add(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Raises Interrupted when the attempt was cut off, and cancelled by nothing else."""
        self._given.discard(self)
        if self.cut.end(error):
            raise Interrupted("the lease ran out") from error
