"""A stream's plan, narrowed to one partition. Pure.

The partition's filter stands behind the rules' own, so that the server hashes only what a rule may want.
"""

import hashlib
from dataclasses import replace
from typing import Any

from mtrigger.partitions import Partition
from mtrigger.pushdown import StreamPlan


def narrowed(plan: StreamPlan, partition: Partition) -> StreamPlan:
    """`plan` for the events of `partition`; itself for an undivided stream.

    The end of a stream (`invalidate`) belongs to nobody's document and is told to every partition.
    """
    if partition.count == 1:
        return plan
    own = {"$or": [{"operationType": "invalidate"}, partition.holds("documentKey._id")]}

    def both(match: dict[str, Any]) -> dict[str, Any]:
        return {"$and": [match, own]}

    hash_ = hashlib.sha256(f"{plan.hash} {partition}".encode()).hexdigest()[:16]
    return replace(plan, match=both(plan.match), cover=both(plan.cover), hash=hash_)
