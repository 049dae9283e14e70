"""What an action writes into MongoDB, as a value: it is carried out together with the outcome that tells of
it (`stores/effects.py`), never by the action itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

WriteOperation = Literal["insert", "update", "replace", "delete"]

STATE = ""
"""The `database` of messages: that which keeps mtrigger's own state, wherever it lies."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One write: of `value` into the collection, on the document that `filter` names (an insert has none, and
    a delete no value). With `upsert`, a document that is not there is made.

    `database` is STATE for a message: its `collection` is a topic's.

    `own_id` says that the `_id` of an insert is made from the delivery's id: that such a document exists
    means that the effect was carried out before.
    """

    database: str
    collection: str
    operation: WriteOperation
    filter: Mapping[str, Any] = field(default_factory=dict)
    value: Mapping[str, Any] = field(default_factory=dict)
    upsert: bool = False
    own_id: bool = False

    @property
    def namespace(self) -> str:
        """`database.collection`; of a message the collection alone."""
        return f"{self.database}.{self.collection}" if self.database else self.collection

    @property
    def account(self) -> str:
        """What the history says of it once it is carried out."""
        return f"{self.operation} in {self.namespace}"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a change happened: a write of `rule`, for an event that rules themselves had caused through `depth`
    links. `through` are the names of those rules and of `rule`, each once."""

    rule: str
    depth: int
    through: tuple[str, ...]

    @classmethod
    def of(cls, rule: str, depth: int, through: Iterable[str]) -> Self:
        """What a write of `rule` causes, for an event that rules `through` had caused by `depth` links."""
        return cls(rule, depth, tuple(dict.fromkeys((*through, rule))))
