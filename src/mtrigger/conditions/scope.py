"""What a condition is asked about: an event, the moment, and the documents that paths begin in."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from mtrigger.conditions.syntax import Path
from mtrigger.events import ChangeEvent

_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Scope:
    """What a condition is asked about. `element` is the array element inside `$elemMatch`."""

    event: ChangeEvent
    now: datetime
    document: Mapping[str, Any]
    element: Any = None

    def root(self, path: Path) -> Any:
        """The document that the path begins in."""
        match path.root:
            case "document":
                return self.document
            case "element":
                return self.element
            case "before" | "event" as root:
                return outermost(self.event, root)


def scope(event: ChangeEvent, now: datetime) -> Scope:
    """The scope of a whole condition."""
    return Scope(event, now, outermost(event, "document"))


def outermost(event: ChangeEvent, root: Literal["document", "before", "event"]) -> Mapping[str, Any]:
    """What paths of a whole condition begin in: the document after the change or what is known of it, the one
    before, or the facts of the event."""
    match root:
        case "document":
            return event.key if event.document is None else event.document
        case "before":
            return event.before or _NOTHING
        case "event":
            return event_facts(event)


def event_facts(event: ChangeEvent) -> dict[str, Any]:
    """What `event.…` leads to."""
    return {
        "operation": event.operation,
        "database": event.database,
        "collection": event.collection,
        "key": event.key,
        "time": event.time,
        "id": event.token,
    }
