"""Parts that must not stop: a loop that dies, is cancelled or just ends, ends the process, and is named.

Promise: nothing is idle in silence. Whatever ends a part, the engine raises one error that says which part it
was and why.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from mtrigger.errors import MtriggerError
from mtrigger.redaction import brief


class PartError(MtriggerError):
    """A part of the engine has ended although nobody asked it to. Says which one and why."""


async def part(name: str, work: Coroutine[Any, Any, None]) -> None:
    """Run `work`, a part of the engine called `name`.

    Raises PartError for whatever ends it, except what is a sentence for the user already (MtriggerError).
    """
    try:
        await work
    except MtriggerError:
        raise
    except Exception as error:
        raise PartError(f"the {name} died: {_reason(error)} (MTRIGGER_TRACEBACK=1 shows where)") from error


async def until(asked: asyncio.Event, parts: Iterable[asyncio.Task[None]]) -> None:
    """Return once `asked` is set. Raises PartError when one of `parts` ends before that without an error: it
    was cancelled by something else, or came to an end it should not have."""
    waiting = asyncio.ensure_future(asked.wait())
    watched = list(parts)
    try:
        await asyncio.wait({waiting, *watched}, return_when=asyncio.FIRST_COMPLETED)
        for task in watched:
            if task.done() and not asked.is_set() and (task.cancelled() or task.exception() is None):
                raise PartError(f"the {task.get_name()} ended although nobody asked it to")
        await waiting  # a part that raised something ends its group, and with it this wait
    finally:
        waiting.cancel()


async def until_any(*events: asyncio.Event) -> None:
    """Return once one of `events` is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


async def pause(seconds: float, ending: asyncio.Event) -> None:
    """Wait `seconds`, or less when `ending` is set meanwhile.

    A loop that speaks to MongoDB ends by looking at such an event, not by being cancelled alone: see
    `outages.heed_cancellation`.
    """
    waiting = asyncio.ensure_future(ending.wait())
    try:
        await asyncio.wait({waiting}, timeout=seconds)
    finally:
        waiting.cancel()


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group of groups: the one the others followed from."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _reason(error: Exception) -> str:
    text = brief(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
