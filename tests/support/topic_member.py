"""A program that consumes a topic: a member of a group, in a process of its own.

    python topic_member.py URI DATABASE TOPIC GROUP NAME LEASE

What it got, and what it has acknowledged, it writes into the collection `told` of the same database: `{by,
what, offset, key}` in the order in which it happened. Ends on SIGTERM, in good order.
"""

import asyncio
import signal
import sys

from pymongo import AsyncMongoClient

import mtrigger

WORKERS = 5


async def main(uri: str, database: str, name: str, group: str, me: str, lease: str) -> None:
    """Consume until the end."""
    async with (
        AsyncMongoClient[dict[str, object]](uri) as client,
        mtrigger.topic(name, uri=uri, state_db=database) as topic,
    ):
        told = client[database]["told"]

        async def work(messages: mtrigger.Consumer) -> None:
            async for message in messages:
                row = {"by": me, "offset": message.offset, "key": message.key}
                await told.insert_one({**row, "what": "got"})
                try:
                    await message.ack()
                except mtrigger.AckLostError:
                    await told.insert_one({**row, "what": "lost"})
                else:
                    await told.insert_one({**row, "what": "acked"})

        async with topic.consume(group, lease=float(lease)) as messages:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, messages.stop)
            await asyncio.gather(*(work(messages) for _ in range(WORKERS)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
