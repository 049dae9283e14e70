"""Which group an event belongs to (`per:` of throttle, digest, count and absent). Pure.

Promise: the name of a group depends on the values alone, with their BSON types, so it is the same whenever
and wherever the event is read.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from bson import json_util

from mtrigger.events import MESSAGE, ChangeEvent
from mtrigger.message_paths import with_written_paths
from mtrigger.quiet import Per

_CANONICAL = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL)
_LONGEST_SHOWN = 100

GATHERED = "digest:"
"""What the lane of a delivery begins with that is gathered for a digest; no other lane does."""

COUNTED = "group:"
"""What the lane of a delivery begins with that is counted or throttled with its group; no other lane does."""


def group_of(event: ChangeEvent, per: Per) -> dict[str, Any]:
    """The values at the paths `per` in the document of `event` (of a delete: its last known state, else its
    key), by path as the rule's file may say it; None where there is none."""
    document = event.document if event.document is not None else event.key
    group = {path: value_at(document, path) for path in per}
    return with_written_paths(group) if event.operation == MESSAGE else group


def group_id(group: Mapping[str, Any]) -> str:
    """The name of a group: 20 hexadecimal digits, "*" for the only one."""
    if not group:
        return "*"
    text = json_util.dumps(list(group.values()), json_options=_CANONICAL)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def gathering(per: Per) -> str:
    """What the lanes of deliveries begin with that are gathered `per` these paths."""
    return f"{GATHERED}{_paths_id(per)}:"


def gathered_lane(event: ChangeEvent, per: Per) -> str:
    """The lane of a delivery for `event` that is gathered `per` these paths."""
    return f"{gathering(per)}{group_id(group_of(event, per))}"


def counting(per: Per) -> str:
    """What the lanes of deliveries begin with that are counted or throttled `per` these paths."""
    return f"{COUNTED}{_paths_id(per)}:"


def counted_lane(event: ChangeEvent, per: Per) -> str:
    """The lane of a delivery for `event` that is counted or throttled `per` these paths."""
    return f"{counting(per)}{group_id(group_of(event, per))}"


def _paths_id(per: Per) -> str:
    return hashlib.sha256("\0".join(per).encode()).hexdigest()[:8]


def shown_group(group: Mapping[str, Any]) -> str:
    """A group for people: `customer.id = 17`; empty for the only one."""
    return ", ".join(f"{path} = {_shown(value)}" for path, value in group.items())


def _shown(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def value_at(value: Any, path: str) -> Any:
    """The value at the dotted `path` in a document; None where there is none."""
    for name in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value
