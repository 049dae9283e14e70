"""A document that a rule fired for, until the rule's condition no longer holds for it (`resolved:`)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mtrigger.conditions import Condition
from mtrigger.document_keys import text_of_key
from mtrigger.events import ChangeEvent, Document
from mtrigger.standing.documents import kept_of


@dataclass(frozen=True, slots=True)
class Alert:
    """What is remembered of one document for one rule: whether it stands, and since when. `position` is that
    of the event that made it so, `document` what was there when the rule fired."""

    id: str
    rule: str
    namespace: str
    key: Mapping[str, Any]
    since: datetime
    position: str
    stands: bool
    document: Document


def alert_id(rule: str, event: ChangeEvent) -> str:
    """The name of what is remembered for `rule` of the document of `event`: 32 hexadecimal digits."""
    text = f"{rule}\0{event.namespace}\0{text_of_key(event.key)}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def is_over(condition: Condition | None, event: ChangeEvent, now: datetime) -> bool:
    """Whether `event` shows a document for which `condition` no longer holds. What cannot be read shows
    nothing; nor does a document that was gone when it was looked up: its delete follows."""
    if event.flaw:
        return False
    if event.operation == "delete":
        return True
    if event.document is None or event.image == "partial":
        return False
    return condition is not None and not condition.lasting.holds(event, now)


def followed(
    alert: Alert | None, rule: str, event: ChangeEvent, *, fires: bool, over: bool
) -> tuple[Alert | None, bool]:
    """What is remembered after `event`, for which the rule `fires` or which shows that it is `over`; and
    whether this ends what stood."""
    if alert is not None and event.token <= alert.position:
        return alert, False
    stands = alert is not None and alert.stands
    if fires and not event.flaw:
        if stands:
            return alert, False
        return _begun(rule, event), False
    if alert is not None and stands and over:
        return replace(alert, position=event.token, stands=False), True
    return alert, False


def _begun(rule: str, event: ChangeEvent) -> Alert:
    return Alert(
        id=alert_id(rule, event),
        rule=rule,
        namespace=event.namespace,
        key=event.key,
        since=event.time,
        position=event.token,
        stands=True,
        document=kept_of(event),
    )


def last_seen(alert: Alert, event: ChangeEvent) -> ChangeEvent:
    """The event that ended `alert`; where it tells of no document (a delete, of which no image is kept), with
    the one that was there when the rule fired."""
    return event if event.document is not None else event.with_document(alert.document, "partial")
