"""Events x rules -> deliveries. Pure: this is where "wanted" becomes "owed".

The ids and lanes made here never depend on when or how often an event is read.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from json.encoder import encode_basestring_ascii
from typing import Any

from bson import ObjectId, json_util

from mtrigger.deliveries import Delivery, delivery_id
from mtrigger.events import ChangeEvent, Document
from mtrigger.matching import Matcher
from mtrigger.rules import Ordering, Rule

_CANONICAL = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL)


def deliveries(
    matcher: Matcher, events: Iterable[ChangeEvent], cluster: str, partition: str, now: datetime
) -> list[Delivery]:
    """Everything that is owed for `events`, in the order of the events, then of the rules and actions."""
    return [
        delivery
        for event in events
        for delivery in owed(event, matcher.matches(event, now), cluster, partition, now)
    ]


def owed(
    event: ChangeEvent, rules: Iterable[Rule], cluster: str, partition: str, now: datetime
) -> list[Delivery]:
    """One delivery for each action of each of `rules`."""
    return [
        Delivery(
            id=delivery_id(cluster, event.identity, rule.name, action.name),
            rule=rule.name,
            action=action.name,
            partition=partition,
            lane=lane(event, rule.ordering),
            position=event.token,
            event=event,
            created_at=now,
        )
        for rule in rules
        for action in rule.actions
    ]


def lane(event: ChangeEvent, ordering: Ordering) -> str:
    """The sequence, within one action of one rule, that a delivery for `event` keeps its place in."""
    if ordering == "rule":
        return "*"
    if ordering == "none":
        return event.token
    return hashlib.sha256(f"{event.namespace}\0{_text_of_key(event.key)}".encode()).hexdigest()[:20]


def _text_of_key(key: Document) -> str:
    """A document's key as canonical Extended JSON. The usual ones are written by hand, to the same effect:
    lanes are kept in rows, and a general encoder takes ten times as long."""
    if len(key) == 1 and (text := _text_of_usual_id(key.get("_id"))):
        return f'{{"_id": {text}}}'
    return json_util.dumps(key, json_options=_CANONICAL)


def _text_of_usual_id(value: Any) -> str:
    kind = type(value)
    if kind is ObjectId:
        return f'{{"$oid": "{value}"}}'
    if kind is str:
        return encode_basestring_ascii(value)
    if kind is int:
        return f'{{"$number{"Int" if -(2**31) <= value < 2**31 else "Long"}": "{value}"}}'
    return ""


@dataclass(slots=True)
class LookUps:
    """The documents that a batch of events needs and does not carry: namespace -> ids, each once.

    Ids may be unhashable (documents), so they are kept by their canonical text.
    """

    wanted: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Iterable[ChangeEvent], is_wanted: Callable[[ChangeEvent], bool]) -> "LookUps":
        """Collect what is missing of the events that some rule might hold for."""
        found = cls()
        for event in events:
            if lacks_document(event) and is_wanted(event):
                ids = found.wanted.setdefault((event.database, event.collection), {})
                ids[key_text(event)] = event.key["_id"]
        return found


def lacks_document(event: ChangeEvent) -> bool:
    """Whether the document of this event has to be looked up: an update came without a post-image, or the
    document was too large to be sent or stored with the event."""
    wanting = event.operation == "update" or (event.operation != "delete" and "document" in event.left_out)
    return wanting and event.document is None and "_id" in event.key


def key_text(event: ChangeEvent) -> str:
    """The id of the event's document, as `id_text` writes it."""
    return id_text(event.key["_id"])


def id_text(value: Any) -> str:
    """A document id as hashable text that tells apart what BSON tells apart."""
    return _text_of_usual_id(value) or json_util.dumps(value, json_options=_CANONICAL)


def filled_in(event: ChangeEvent, found: Document | None) -> ChangeEvent:
    """An event with its document: `found` a moment later, and over it what an update itself set.

    The fields this update touched are certain; the others are as they were when looked up. When the document
    is gone, its key and the update's own fields are what is known.
    """
    document = _copy(found) if found is not None else dict(event.key)
    for path, value in event.updated.items():
        _put(document, path.split("."), value)
    for path in event.removed:
        _take(document, path.split("."))
    return event.with_document(document, "look-up" if found is not None else "partial")


def _copy(value: Any) -> Any:
    """Containers are copied, values shared."""
    if isinstance(value, dict):
        return {name: _copy(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def _put(container: Any, path: list[str], value: Any) -> None:
    """Set the value at `path`; where the document has since taken another shape, leave it as it is."""
    name, rest = path[0], path[1:]
    if isinstance(container, list):
        if name.isdigit() and int(name) < len(container):
            if rest:
                _put(container[int(name)], rest, value)
            else:
                container[int(name)] = value
    elif isinstance(container, dict):
        if not rest:
            container[name] = value
        else:
            _put(container.setdefault(name, {}), rest, value)


def _take(container: Any, path: list[str]) -> None:
    """Remove the value at `path`, if it is there."""
    name, rest = path[0], path[1:]
    if isinstance(container, list) and name.isdigit() and int(name) < len(container):
        if rest:
            _take(container[int(name)], rest)
    elif isinstance(container, dict) and name in container:
        if rest:
            _take(container[name], rest)
        else:
            del container[name]
