"""What to do when the stream breaks: a pure decision for each kind of fault.

Promise: a position is never given up in silence. What cannot be resumed is raised with the sentence that says
what happened and what to do.
"""

from datetime import UTC, datetime
from enum import Enum
from typing import Literal

from mtrigger.errors import DeploymentError, MtriggerError, PositionError
from mtrigger.faults import Fault, classify
from mtrigger.stream import StreamPosition


class Resumption(Enum):
    """How reading goes on."""

    AGAIN = "again"
    """Wait a little, then at the same position."""
    BY_TIME = "by time"
    """At the time of the position instead of its token."""


Phase = Literal["opening", "reading"]
"""Whether the stream has ever answered this process."""


def resumption(error: Exception, position: StreamPosition, phase: Phase) -> Resumption:
    """How to go on after `error` at `position`.

    Raises PositionError when an operator has to decide, DeploymentError when the stream may not be opened at
    all, MtriggerError when nothing would help.
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
    if fault is Fault.BAD_TOKEN and position.token is not None:
        return Resumption.BY_TIME
    if fault in (Fault.BAD_TOKEN, Fault.HISTORY_LOST):
        since = datetime.fromtimestamp(position.cluster_time.time, UTC).isoformat()
        raise PositionError(
            f"The oplog no longer reaches back to the position of this stream, {since}: changes since then "
            "may have been missed. The position was left as it is. To go on from now, knowing that, run "
            f"`mtrigger checkpoint set --time now` and start again. MongoDB says: {error}"
        ) from error
    if fault is Fault.TOO_LARGE:
        raise MtriggerError(f"A change event is larger than MongoDB can send (16 MB): {error}") from error
    if fault is Fault.UNDECODABLE:
        raise MtriggerError(f"A change event holds a value that cannot be read: {error}") from error
    raise error
