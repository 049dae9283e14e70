"""How a stream is read: how many events at once, and whether to wait for them on the server.

Pure: no I/O, no clock. The promises: a stream that is behind is never kept waiting, and one on a quiet server
tells of a change at once.
"""

from bson.timestamp import Timestamp

FEWEST, MOST = 100, 1_000
"""Events in one reply, at first and at most."""

QUICKLY = 0.05
"""Seconds that a full reply should take: what comes in longer ones is dealt with late, and shorter ones are
more replies than need be."""

BUSY = 5_000
"""Writes a second from which on a server is busy. A stream that waits there is woken by each of them, also by
those that it does not show, such as our own: on MongoDB 6.0 that cost half as much again as the write. With
fewer writes, looking at it a hundred times a second costs more than that."""

PAUSE = 0.01
"""Seconds between two looks at a stream of a busy server."""


def batch_size(asked: int, came: int, seconds: float) -> int:
    """How many events to ask for next, when `came` of the `asked` ones came in so many seconds.

    A stream that catches up gets large replies; one of which a filter lets little through gets small ones, so
    that what is read is dealt with while the server looks for more. A reply that was not full says nothing.
    """
    if came < asked:
        return asked
    if seconds < QUICKLY:
        return min(MOST, 2 * asked)
    return max(FEWEST, asked // 2) if seconds > 2 * QUICKLY else asked


def is_busy(before: Timestamp, now: Timestamp, seconds: float) -> bool:
    """Whether a server is busy whose history has come from `before` to `now` in so many seconds.

    A cluster time counts the writes of its second. When another one has begun, those at the end of the last
    one are not known; the many before them are the best guess. A few in a row are no sign of more.
    """
    if now.time == before.time:
        return bool(now.inc - before.inc >= BUSY * max(seconds, PAUSE))
    return bool(before.inc >= BUSY or now.inc >= BUSY * max(seconds, PAUSE))
