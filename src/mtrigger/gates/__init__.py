"""What keeps a delivery back that is owed: counting, age, silences, hours, throttling. Pure.

`admission` asks one gate after the other and says whether the action may run, is left out, or has to wait;
`after` says what the group's memory is once the attempt is made. The memory of a group (`GroupState`) is kept
by `running/gatekeeping.py`.

Promise: asked again about the same delivery with the memory it left (after a crash between two writes), the
answer is the same and nothing is counted twice.
"""

from mtrigger.gates.admitting import Admission, Hold, Pass, Suppress, admission, after, remembers
from mtrigger.gates.silences import Pause, Silence, Wishes
from mtrigger.gates.state import LEFT_OUT_KNOWN, NOTHING_YET, GroupState

__all__ = [
    "LEFT_OUT_KNOWN",
    "NOTHING_YET",
    "Admission",
    "GroupState",
    "Hold",
    "Pass",
    "Pause",
    "Silence",
    "Suppress",
    "Wishes",
    "admission",
    "after",
    "remembers",
]
