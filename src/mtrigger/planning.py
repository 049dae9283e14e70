"""Events x rules -> deliveries. Pure: this is where "wanted" becomes "owed".

The ids and lanes made here never depend on when or how often an event is read.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from mtrigger.deliveries import Delivery, delivery_id
from mtrigger.document_keys import id_text, text_of_key
from mtrigger.effects import Cause
from mtrigger.events import ABSENT, DATA_OPERATIONS, MESSAGE, RESCAN, ChangeEvent, Document
from mtrigger.grouping import COUNTED, GATHERED, counted_lane, counting, gathered_lane
from mtrigger.pushdown.lookups import Cover
from mtrigger.rules import Rule

_ABOUT_A_DOCUMENT = (*DATA_OPERATIONS, RESCAN, MESSAGE)
_NO_FACTS: Mapping[str, Any] = {}

_DEEPEST = 1_000_000
"""Links that are believed; a rule is paused long before."""


def deliveries(
    matched: Iterable[tuple[ChangeEvent, Iterable[Rule]]], cluster: str, partition: str, now: datetime
) -> list[Delivery]:
    """Everything that is owed for events, each with the rules that hold for it, in the order of the events,
    then of the rules and actions. What several events owe in one (`fire: once`) is owed for the first."""
    found: dict[str, Delivery] = {}
    for event, rules in matched:
        for delivery in owed(event, rules, cluster, partition, now):
            found.setdefault(delivery.id, delivery)
    return list(found.values())


def traced(owed: Iterable[Delivery], causes: Mapping[str, Cause]) -> list[Delivery]:
    """`owed` with what caused their events; `causes` are known by the names of transactions."""
    return [
        replace(delivery, depth=cause.depth + 1, through=cause.through) if cause is not None else delivery
        for delivery in owed
        for cause in (causes.get(delivery.event.transaction),)
    ]


def owed(
    event: ChangeEvent,
    rules: Iterable[Rule],
    cluster: str,
    partition: str,
    now: datetime,
    facts: Mapping[str, Any] = _NO_FACTS,
) -> list[Delivery]:
    """One delivery for each action of each of `rules`; `facts` are what their actions see besides the event.
    A rule that waits for nothing to come is owed nothing for what comes."""
    depth, through = _links(event)
    return [
        Delivery(
            id=delivery_id(cluster, _occasion(event, rule), rule.name, action.name),
            rule=rule.name,
            action=action.name,
            partition=partition,
            lane=lane(event, rule),
            position=event.token,
            event=event,
            created_at=now,
            depth=depth,
            through=through,
            kept=rule.fire == "once",
            facts=facts,
        )
        for rule in rules
        if rule.absent is None or event.operation == ABSENT
        for action in rule.actions
    ]


def _links(event: ChangeEvent) -> tuple[int, tuple[str, ...]]:
    """Through how many links, and which rules, rules themselves have caused `event`, where it says so: a
    message that a rule has published does. Any producer may write there what it likes."""
    source = (
        event.document.get("source") if event.operation == MESSAGE and event.document is not None else None
    )
    if not isinstance(source, Mapping):
        return 0, ()
    depth, names = source.get("depth"), source.get("through")
    if not isinstance(depth, int) or isinstance(depth, bool) or not 0 <= depth < _DEEPEST:
        return 0, ()
    return depth + 1, tuple(str(name) for name in names) if isinstance(names, list) else ()


def _occasion(event: ChangeEvent, rule: Rule) -> str:
    """What a delivery is owed once for: the event; with `fire: once`, its document."""
    if rule.fire == "once" and event.operation in _ABOUT_A_DOCUMENT:
        return f"once\0{event.namespace}\0{text_of_key(event.key)}"
    return event.identity


def lane(event: ChangeEvent, rule: Rule) -> str:
    """The sequence, within one action of one rule, that a delivery for `event` keeps its place in.

    Where deliveries are counted together, they are handled one after the other: their group is their lane.
    """
    if rule.digest is not None:
        return gathered_lane(event, rule.digest.per)
    if (per := rule.grouped_by) is not None:
        return counted_lane(event, per)
    if rule.ordering == "rule":
        return "*"
    if rule.ordering == "none":
        return event.token
    return hashlib.sha256(f"{event.namespace}\0{subject(event)}".encode()).hexdigest()[:20]


def subject(event: ChangeEvent) -> str:
    """What, within its collection, `event` is about, as text: the document; for a message, what its key
    names."""
    key = event.document.get("key") if event.operation == MESSAGE and event.document is not None else None
    return text_of_key(event.key) if key is None else id_text(key)


def in_its_lane(delivery: Delivery, rule: Rule) -> Delivery:
    """`delivery`, which may have been stored for another version of `rule`, in a lane of this one: what is
    counted or throttled together waits for each other, also what was owed before it was.

    A lane that is right is left as it is: the document that it was made of may be stored nowhere.
    """
    per = rule.grouped_by
    if rule.digest is not None:
        return delivery  # what is gathered is moved in the outbox
    if delivery.lane.startswith(counting(per)) if per is not None else not _is_grouped(delivery.lane):
        return delivery
    return replace(delivery, lane=lane(delivery.event, rule))


def _is_grouped(lane: str) -> bool:
    return lane.startswith((COUNTED, GATHERED))


@dataclass(slots=True)
class LookUps:
    """The documents that a batch of events needs and does not carry: namespace -> cover -> ids, each once.

    Ids may be unhashable (documents), so they are kept by their canonical text.
    """

    wanted: dict[tuple[str, str], dict[Cover, dict[str, Any]]] = field(default_factory=dict)

    @classmethod
    def of(cls, covered: Iterable[tuple[ChangeEvent, Cover | None]]) -> "LookUps":
        """Collect what is missing of events, each with what to ask for its document; None: it needs none."""
        found = cls()
        for event, cover in covered:
            if cover is not None:
                by_cover = found.wanted.setdefault((event.database, event.collection), {})
                by_cover.setdefault(cover, {})[key_text(event)] = event.key["_id"]
        return found


def lacks_document(event: ChangeEvent) -> bool:
    """Whether the document of this event has to be looked up: an update came without a post-image, or the
    document was too large to be sent or stored with the event."""
    wanting = event.operation == "update" or (event.operation != "delete" and "document" in event.left_out)
    return wanting and event.document is None and "_id" in event.key


def key_text(event: ChangeEvent) -> str:
    """The id of the event's document, as `id_text` writes it."""
    return id_text(event.key["_id"])


def filled_in(event: ChangeEvent, found: Document | None) -> ChangeEvent:
    """An event with its document: `found` a moment later, and over it what an update itself set.

    The fields this update touched are certain; the others are as they were when looked up. When the document
    is gone, its key and the update's own fields are what is known.
    """
    if found is None:
        return event.with_document(overlaid(event.key, event), "partial")
    return event.with_document(overlaid(found, event), "look-up")


def overlaid(found: Document, event: ChangeEvent) -> Document:
    """`found` with what the update of `event` set and removed. It shares with `found` all that was not
    touched, and changes nothing there."""
    if not event.updated and not event.removed:
        return found
    document = dict(found)
    own = {id(document)}
    for path, value in event.updated.items():
        _put(document, path.split("."), value, own)
    for path in event.removed:
        _take(document, path.split("."), own)
    return document


def _put(container: Any, path: list[str], value: Any, own: set[int]) -> None:
    """Set the value at `path`; where the document has since taken another shape, leave it as it is.

    `container` is one of the copies in `own` (their identities), which others are added to on the way: an
    array of which a thousand elements were set is copied once.
    """
    name, rest = path[0], path[1:]
    if isinstance(container, list):
        if name.isdigit() and int(name) < len(container):
            if rest:
                _put(_own_part(container, int(name), own), rest, value, own)
            else:
                container[int(name)] = value
    elif isinstance(container, dict):
        if not rest:
            container[name] = value
        else:
            container.setdefault(name, {})
            _put(_own_part(container, name, own), rest, value, own)


def _take(container: Any, path: list[str], own: set[int]) -> None:
    """Remove the value at `path`, if it is there. `container` and `own` are as for `_put`."""
    name, rest = path[0], path[1:]
    if isinstance(container, list) and name.isdigit() and int(name) < len(container):
        if rest:
            _take(_own_part(container, int(name), own), rest, own)
    elif isinstance(container, dict) and name in container:
        if rest:
            _take(_own_part(container, name, own), rest, own)
        else:
            del container[name]


def _own_part(container: Any, place: str | int, own: set[int]) -> Any:
    """What is at `place`; a container is replaced there by a copy that may be changed."""
    part = container[place]
    if isinstance(part, dict | list) and id(part) not in own:
        part = container[place] = dict(part) if isinstance(part, dict) else list(part)
        own.add(id(part))
    return part
