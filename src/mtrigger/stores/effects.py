"""What actions write into MongoDB (`mtrigger.effects`), and what changes came of it: the contract, and the
store in which nothing is written.

Promise, where effects lie in the same deployment as the state, as messages always do: an effect and the
outcome that tells of it are one transaction, so that it is carried out once, whatever is repeated. Elsewhere
it is carried out first: at least once.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Literal, Protocol

from mtrigger.deliveries import Settlement
from mtrigger.effects import Cause, Effect

CameOf = Literal["written", "settled before", "unwritten"]
"""written         the effects are carried out, and their outcomes durable
settled before  one of the deliveries is not owed any more: nothing was done
unwritten       the effects are carried out; their outcomes are still to be written
"""


class CarriedOutBeforeError(Exception):
    """The document that an insert would make, with an `_id` of its own, is there already."""


class ContendedError(Exception):
    """Others kept writing what the effect writes."""


class Effects(Protocol):
    """Carries out effects."""

    @property
    def together(self) -> bool:
        """Whether every effect and its outcome are one transaction, wherever effects go."""
        ...

    def is_together(self, effect: Effect) -> bool:
        """Whether `effect` and its outcome are, so that handing over many at once pays."""
        ...

    async def carry_out(self, settlements: Sequence[Settlement], cause: Cause | None) -> CameOf:
        """Carry out the effects of successes: where they are `together`, with the outcomes and what these
        remember, all of it or nothing; those that are and those that are not come apart. `cause` is what
        `causes` is to tell of the changes that come of it.

        An effect that is there already, by itself, is carried out, and its outcome "unwritten". Raises what
        speaks against one of them: PermanentError for good, ContendedError, or what the server says; and
        CarriedOutBeforeError for one that is there already where others were to go with it.
        """
        ...

    async def causes(self, transactions: Iterable[str]) -> Mapping[str, Cause]:
        """What caused the changes of those of `transactions` that effects were carried out in."""
        ...


MakeTopic = Callable[[str], Awaitable[None]]
"""Makes the topic of this name ready for messages, unless it is."""


async def left_to_readers(topic: str) -> None:
    """Messages go into a topic that is not made yet: who reads them makes it."""


class NoEffects:
    """Effects that are forgotten."""

    together = False

    def is_together(self, effect: Effect) -> bool:
        return False

    async def carry_out(self, settlements: Sequence[Settlement], cause: Cause | None) -> CameOf:
        return "unwritten"

    async def causes(self, transactions: Iterable[str]) -> Mapping[str, Cause]:
        return {}
