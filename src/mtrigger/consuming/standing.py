"""Where a group stands in its topic when that does not hold all it has not read yet. Pure.

Promise: a group never waits for an offset that will not come, and what it has missed is known by number.
"""

from collections.abc import Sequence

from mtrigger.messages import Message
from mtrigger.topics.log import Extent
from mtrigger.topics.message_events import Place


def is_whole(place: Place, read: Sequence[Message]) -> bool:
    """Whether no number is missing between `place` and the last message that was `read` behind it. One that
    is may have been let go, or have been no message's."""
    return not read or read[-1].offset - place.offset == len(read)


def missed(place: Place, read: Sequence[Message], extent: Extent) -> int:
    """How many messages between `place` and the last one that was `read` behind it were let go before the
    group came to them; `extent` was asked for after that. (Numbers that no message had count as well.)"""
    kept_from = min(extent.first, read[-1].offset)
    there = sum(message.offset < kept_from for message in read)
    return max(0, kept_from - 1 - place.offset - there)


def begun_anew(place: Place, extent: Extent) -> Place | None:
    """Where a group goes on that stands where its topic has never been: the topic was deleted and made anew,
    and its messages are others. None when it stands within the topic."""
    if place.offset < extent.next:
        return None
    return Place(place.resets + 1, extent.first - 1)
