"""Reading a topic from a place on, as no member of a group: nothing is remembered of it."""

from collections.abc import AsyncGenerator
from contextlib import nullcontext

from mtrigger.messages import Message
from mtrigger.supervision.outages import heed_cancellation
from mtrigger.topics.bell import Bell
from mtrigger.topics.log import TopicLog

AT_ONCE = 1_000
"""Messages that are read at once."""

POLL_SECONDS = 3.0
"""How often one looks for messages when the bell is silent."""


async def pages(log: TopicLog, behind: int, bell: Bell | None) -> AsyncGenerator[list[Message], None]:
    """What follows the offset `behind`, up to the end; with a `bell`, that must run, also what comes later,
    for ever."""
    with bell.listening(log.name) if bell is not None else nullcontext() as listener:
        while True:
            heed_cancellation()
            if page := await log.read(behind, AT_ONCE):
                behind = page[-1].offset
                yield page
            elif listener is None:
                return
            else:
                await listener.wait(POLL_SECONDS)
