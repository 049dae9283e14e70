"""Names of transactions: what tells a change which of them it was part of."""

from collections.abc import Mapping
from typing import Any


def transaction_name(session: bytes, number: int) -> str:
    """The name of the transaction `number` of the session whose id is `session`."""
    return f"{session.hex()}:{number}"


def transaction_of(change: Mapping[str, Any]) -> str:
    """The name of the transaction that a document of a change stream tells of; "" when it names none."""
    session = (change.get("lsid") or {}).get("id")
    if session is None:
        return ""
    # Bytes, or a UUID if the client was told to make one of them.
    return transaction_name(getattr(session, "bytes", session), change["txnNumber"])
