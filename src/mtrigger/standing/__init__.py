"""What stands between two events: documents that a rule fired for and that are as they were (`alerts`), and
the time since something came (`clocks`).

Everything here is pure, and the promise of both: what an event makes of a state depends on the two alone, and
an event that was read before changes nothing, so reading events twice adds nothing.
"""

from mtrigger.standing.alerts import Alert, alert_id, followed, is_over, last_seen
from mtrigger.standing.clocks import Clock, Waiting, came, clock_id, first_clock, overdue, silence

__all__ = [
    "Alert",
    "Clock",
    "Waiting",
    "alert_id",
    "came",
    "clock_id",
    "first_clock",
    "followed",
    "is_over",
    "last_seen",
    "overdue",
    "silence",
]
