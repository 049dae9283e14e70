"""Asking the outbox whether deliveries are still owed: one look-up for all who ask while the last one runs.

Promise: the answer is not older than the question.
"""

import asyncio

from mtrigger.stores.base import Outbox
from mtrigger.supervision.outages import heed_cancellation


class Doubts:
    """The questions that wait, and the loop that has them answered."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._asked: dict[str, asyncio.Future[bool]] = {}
        self._work = asyncio.Event()

    async def still_open(self, delivery_id: str) -> bool:
        """Whether the delivery is still owed (nobody discarded it)."""
        answer = self._asked.get(delivery_id)
        if answer is None:
            answer = self._asked[delivery_id] = asyncio.get_running_loop().create_future()
            self._work.set()
        return await answer

    async def run(self) -> None:
        """Answer, for ever."""
        while True:
            heed_cancellation()
            await self._work.wait()
            self._work.clear()
            asked, self._asked = self._asked, {}
            still_open = await self._outbox.still_open(list(asked))
            for delivery_id, answer in asked.items():
                if not answer.done():  # whoever asked may have been cancelled
                    answer.set_result(delivery_id in still_open)
