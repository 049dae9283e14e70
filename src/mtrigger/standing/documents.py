"""The document that a state keeps of an event, for the day when nothing else tells of it."""

import bson
from bson.errors import BSONError

from mtrigger.events import ChangeEvent, Document

LARGEST_KEPT = 16_000
"""Bytes of a document that is kept whole. Of a larger one the key is kept."""


def kept_of(event: ChangeEvent) -> Document:
    """The document of `event`, or its key."""
    if event.document is None:
        return event.key
    try:
        return event.document if len(bson.encode(event.document)) <= LARGEST_KEPT else event.key
    except BSONError:
        return event.key
