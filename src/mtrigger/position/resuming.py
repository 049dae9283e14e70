"""What to do when the stream breaks: a pure decision for each kind of fault.

Promise: a position is never given up in silence. What cannot be resumed is told apart here; what is done
about it then is the operator's word (`recovering`).
"""

import logging
from enum import Enum
from typing import Literal

from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure

from mtrigger.errors import DeploymentError, MtriggerError
from mtrigger.faults import Fault, classify
from mtrigger.reading.stream import StreamPosition
from mtrigger.resume_tokens import cluster_time_of
from mtrigger.stores.base import Checkpoint

log = logging.getLogger(__name__)


class Resumption(Enum):
    """How reading goes on."""

    AGAIN = "again"
    """Wait a little, then at the same position."""
    BY_TIME = "by time"
    """At the time of the position instead of its token."""
    HISTORY_LOST = "history lost"
    """Not at this position: the oplog no longer reaches back to it."""
    INVALID_TOKEN = "invalid token"  # noqa: S105 - a resume token is no secret
    """Not at this position: neither its token nor its time is accepted."""


Phase = Literal["opening", "reading"]
"""Whether the stream has ever answered this process."""


def resumption(
    error: Exception, position: StreamPosition, phase: Phase, tried: Timestamp | None = None
) -> Resumption:
    """How to go on after `error` at `position`; `tried` is the last time that was opened instead of a token.

    Raises DeploymentError when the stream may not be opened at all, MtriggerError when nothing would help.
    """
    fault = classify(error)
    if fault is Fault.PASSING or (fault is Fault.FORBIDDEN and phase == "reading"):
        return Resumption.AGAIN
    if fault is Fault.FORBIDDEN:
        raise DeploymentError(
            "This user may not open the change stream. Grant it the role `readAnyDatabase` (or, when all "
            "rules name one database, `read` on that one): it holds the actions `find` and `changeStream`. "
            f"MongoDB says: {error}"
        ) from error
    if fault is Fault.HISTORY_LOST:
        return Resumption.HISTORY_LOST
    # A token with a wrong bit fails with whatever its bytes happen to mean: dozens of codes were seen.
    doubtful = fault is Fault.FATAL and phase == "opening" and isinstance(error, OperationFailure)
    if fault is Fault.BAD_TOKEN or doubtful:
        if position.token is not None and position.cluster_time != tried:
            return Resumption.BY_TIME
        if fault is Fault.BAD_TOKEN:
            return Resumption.INVALID_TOKEN
    if fault is Fault.TOO_LARGE:
        raise MtriggerError(
            "A change is larger than MongoDB can send (16 MB), in whatever form it is asked for. The "
            "position was left before it; `mtrigger checkpoint set --time …` goes past it. MongoDB says: "
            f"{error}"
        ) from error
    if fault is Fault.UNDECODABLE:
        raise MtriggerError(f"A change event holds a value that cannot be read: {error}") from error
    raise error


def starting_position(checkpoint: Checkpoint) -> StreamPosition:
    """Where the stream opens; by its time when the token has been damaged.

    A token says its own time. With a wrong bit there it could open in the future, and wait there in silence.
    """
    position = StreamPosition(checkpoint.token, checkpoint.cluster_time, checkpoint.pipeline_hash)
    if checkpoint.token is None or _time_in(checkpoint.position) == checkpoint.cluster_time:
        return position
    log.warning(
        "The resume token of the checkpoint does not belong to its time, %s: it is damaged. Going on from "
        "that time (the tokens before it: `mtrigger checkpoint show`).",
        checkpoint.cluster_time.as_datetime().isoformat(),
    )
    return position.by_time()


def _time_in(token: str) -> Timestamp | None:
    try:
        return cluster_time_of(token)
    except ValueError:
        return None
