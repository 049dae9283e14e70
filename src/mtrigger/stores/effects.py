"""What actions write into MongoDB (`mtrigger.effects`), and what changes came of it: the contract, and the
store in which nothing is written.

Promise, where effects lie in the same deployment as the state: an effect and the outcome that tells of it
are one transaction, so that it is carried out once, whatever is repeated. Elsewhere it is carried out first:
at least once.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from mtrigger.deliveries import Settlement
from mtrigger.effects import Cause, Effect


class CarriedOutBeforeError(Exception):
    """The document that an insert would make, with an `_id` of its own, is there already."""


class ContendedError(Exception):
    """Others kept writing what the effect writes."""


class Effects(Protocol):
    """Carries out effects."""

    @property
    def together(self) -> bool:
        """Whether effects are carried out together with their outcomes, by `settle`; else, by `carry_out`."""
        ...

    async def settle(self, settlements: Sequence[Settlement], cause: Cause | None) -> bool:
        """Write successes, what they remember and their effects, all of them or nothing. False if one of the
        deliveries is not owed any more: then nothing was done. `cause` is what `causes` is to tell of the
        changes that come of it.

        Raises what speaks against an effect: PermanentError for good, ContendedError, or what the server
        says; CarriedOutBeforeError for one that is there already.
        """
        ...

    async def carry_out(self, effect: Effect) -> None:
        """Carry out one effect by itself. Raises what `settle` does."""
        ...

    async def causes(self, transactions: Iterable[str]) -> Mapping[str, Cause]:
        """What caused the changes of those of `transactions` that effects were carried out in."""
        ...


class NoEffects:
    """Effects that are forgotten."""

    together = False

    async def settle(self, settlements: Sequence[Settlement], cause: Cause | None) -> bool:
        raise NotImplementedError("outcomes are settled by themselves here")

    async def carry_out(self, effect: Effect) -> None:
        """Nothing is written."""

    async def causes(self, transactions: Iterable[str]) -> Mapping[str, Cause]:
        return {}
