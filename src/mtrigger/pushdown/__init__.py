"""Pushdown: rules -> the one stream that serves them all. Pure.

One promise: the stream is never narrower than the rules. Whatever the server is asked for, an event that a
rule holds for gets through; it is as narrow as pays off (`costs`), and speaks only of what cannot change
after the event: its operation, its namespace, its key, the images stored with it, and what an update set.
"""

from mtrigger.pushdown.explaining import PushedPart, PushedRule, explain
from mtrigger.pushdown.streams import StreamPlan, pipeline, plan

__all__ = ["PushedPart", "PushedRule", "StreamPlan", "explain", "pipeline", "plan"]
