"""Resume tokens as positions: what their text tells, without asking a server."""

import hashlib

from bson.timestamp import Timestamp

LONGEST_TOKEN = 2_000
"""Characters of a resume token that are kept as an event's position. A token holds the document's `_id`,
which may be megabytes long; the order of two events is decided long before."""


def position_of(token: str) -> str:
    """The sortable position in a resume token's `_data`: the token itself, or of a very long one its
    beginning, which orders it, and a hash, which tells it apart.

    Events with the same beginning do not exist: before the document's key it holds the time and the number
    of the operation within its transaction.
    """
    if len(token) <= LONGEST_TOKEN:
        return token
    return token[:LONGEST_TOKEN] + hashlib.sha256(token.encode()).hexdigest().upper()


def cluster_time_of(token: str) -> Timestamp:
    """The cluster time encoded in a resume token's `_data`.

    A token is a KeyString in hexadecimal: the type byte 0x82 (a timestamp), then seconds and increment as
    big-endian 32-bit numbers (MongoDB source, `src/mongo/db/pipeline/resume_token.cpp`).

    Raises ValueError when the text is not such a token.
    """
    if len(token) < 18 or token[:2] != "82":
        raise ValueError(f"not a resume token: {token[:20]!r}")
    return Timestamp(int(token[2:10], 16), int(token[10:18], 16))
