"""Examples of changes to change events: what `tests:` and `--document` say, and events kept in files.

Keeps one promise: an example takes the way of a live event. It becomes the document a change stream would
have sent (MongoDB manual, "Change Events") and is read by `ChangeEvent.from_change`, so what holds here holds
live.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from bson import json_util
from bson.errors import BSONError
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from mtrigger.document_keys import id_text
from mtrigger.events import MESSAGE, ChangeEvent, Document
from mtrigger.messages import COLLECTIONS, Message, read_message
from mtrigger.planning import filled_in, lacks_document
from mtrigger.rules import Operation, Rule
from mtrigger.running.dead_letters import letter_event
from mtrigger.topics.message_events import Group, event_of

ANY_NAME = "any"
"""What a `*` in a collection's pattern becomes in an example."""

STATE = "mtrigger"
"""The state database in examples."""

_NOTHING: Document = {}
_ID = ObjectId("000000000000000000000001")
_JSON = json_util.JSONOptions(
    tz_aware=True, tzinfo=UTC, datetime_representation=json_util.DatetimeRepresentation.ISO8601
)
_Change = dict[str, Any]


def made_dead_letter(letter: Document, time: datetime) -> ChangeEvent:
    """The event that the dead letter `letter` would be; a delivery's id that it leaves out is made up."""
    return letter_event(letter, str(letter.get("delivery", "0" * 32)), time)


def example_namespace(rule: Rule) -> str:
    """A collection that the rule, which is one of changes, watches: the first one it names, with `any` for
    each `*`."""
    return rule.collections.patterns[0].replace("*", ANY_NAME)


def made_message(
    body: Any, rule: Rule, time: datetime, number: int = 1, key: Any = None, headers: Document = _NOTHING
) -> ChangeEvent:
    """The event that the message number `number` with this body, published at `time` (aware), would be for
    `rule`, which is one of a topic."""
    source = rule.topic
    assert source is not None
    message = Message(f"{number:024x}", body, key, time, headers, offset=number)
    return event_of(message, Group(source.name, source.group), 0, STATE, time)


def made_event(
    document: Document, operation: Operation, before: Document | None, namespace: str, time: datetime
) -> ChangeEvent:
    """The event that a change to `document` in `namespace` ("db.collection") at `time` (aware) would be.

    For a delete, `document` is its last known state. An update of a document that was `before` sets and
    removes what differs; without `before` it counts as setting every field. A missing `_id` is filled in.

    Raises ValueError for a document `before` an insert.
    """
    if operation == "insert" and before is not None:
        raise ValueError(
            "an insert has no document before it: leave `before` out, or say `operation: update`"
        )
    key = {"_id": document.get("_id", (before or {}).get("_id", _ID))}
    after = {**key, **document}
    earlier = {**key, **before} if before is not None else None
    change = _changed(key, after, earlier, operation)
    database, _, collection = namespace.partition(".")
    seconds, increment = int(time.timestamp()), time.microsecond + 1
    change |= {
        "_id": {"_data": f"82{seconds:08X}{increment:08X}"},
        "operationType": operation,
        "ns": {"db": database, "coll": collection},
        "documentKey": key,
        "clusterTime": Timestamp(seconds, increment),
        "wallTime": time,
    }
    return ChangeEvent.from_change(change)


def _changed(key: Document, after: _Change, before: _Change | None, operation: Operation) -> _Change:
    """The part of a change that says what became of the document."""
    if operation == "delete":
        return {"fullDocumentBeforeChange": before or after}
    change: _Change = {"fullDocument": after}
    if before is not None:
        change["fullDocumentBeforeChange"] = before
    if operation == "update":
        updated, removed = difference(before if before is not None else key, after)
        change["updateDescription"] = {"updatedFields": updated, "removedFields": removed}
    return change


def difference(before: Document, after: Document) -> tuple[dict[str, Any], list[str]]:
    """What an update from `before` to `after` sets (dotted path -> value) and removes (dotted paths).

    Sub-documents are compared field by field, arrays and everything else as wholes, by value and BSON type.
    """
    updated: dict[str, Any] = {}
    removed: list[str] = []
    for path, value, is_there in _differences(before, after, ""):
        if is_there:
            updated[path] = value
        else:
            removed.append(path)
    return updated, removed


def _differences(before: Document, after: Document, prefix: str) -> Iterator[tuple[str, Any, bool]]:
    for name in before:
        if name not in after:
            yield f"{prefix}{name}", None, False
    for name, value in after.items():
        path = f"{prefix}{name}"
        if name not in before:
            yield path, value, True
        elif id_text(before[name]) != id_text(value):
            if _has_plain_names(before[name]) and _has_plain_names(value):
                yield from _differences(before[name], value, f"{path}.")
            else:
                yield path, value, True


def _has_plain_names(value: Any) -> bool:
    """Whether this is a document of which every name can stand in a dotted path."""
    return isinstance(value, Mapping) and all(name and "." not in name for name in value)


def read_document(text: str) -> dict[str, Any]:
    """A document written as Extended JSON. Raises ValueError with what is wrong."""
    value = _read_json(text)
    if not isinstance(value, dict):
        raise ValueError("a document is expected: {…}")  # noqa: TRY004 - the text is wrong, not an argument
    return value


def read_events(text: str) -> list[ChangeEvent]:
    """The change event, or list of them, written as Extended JSON.

    What a hand-written event may leave out is filled in: its resume token, its times, and the key of its
    document. An update without a document gets what is known of it: its key and the fields it set.

    Raises ValueError with what is wrong.
    """
    value = _read_json(text)
    changes = value if isinstance(value, list) else [value]
    if not changes:
        raise ValueError("the list of events is empty")
    return [_read_event(change, number) for number, change in enumerate(changes, 1)]


def _read_json(text: str) -> Any:
    try:
        return json_util.loads(text, json_options=_JSON)
    except RecursionError:
        raise ValueError("this is nested too deep") from None
    except (ValueError, TypeError, BSONError) as error:
        raise ValueError(f"this is not Extended JSON: {error}") from error


def _read_event(change: Any, number: int) -> ChangeEvent:
    def fail(what: str) -> ValueError:
        return ValueError(f"event {number}: {what}")

    if not isinstance(change, dict):
        raise fail("a change event is expected: {…}")
    if not isinstance(change.get("operationType"), str):
        raise fail("it has no `operationType` (a document alone goes to --document)")
    namespace = change.get("ns")
    if not isinstance(namespace, dict) or not isinstance(namespace.get("db"), str):
        raise fail('it has no `ns`: {"db": …, "coll": …}')
    for name in ("fullDocument", "fullDocumentBeforeChange", "documentKey", "updateDescription"):
        if not isinstance(change.get(name, {}), dict | None):
            raise fail(f"`{name}` is no document")
    try:
        if change["operationType"] == MESSAGE:
            return _message(change)
        event = ChangeEvent.from_change(_completed(change))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise fail(f"it cannot be read as a change event ({type(error).__name__}: {error})") from error
    return filled_in(event, None) if lacks_document(event) else event


def _message(change: _Change) -> ChangeEvent:
    """The message in a hand-written event: its document is what lies in the topic's collection."""
    stored = {"_id": _ID, **change["fullDocument"]}
    topic = str(change["ns"]["coll"]).removeprefix(COLLECTIONS)
    return event_of(read_message(stored), Group(topic, topic), 0, change["ns"]["db"], datetime.now(UTC))


def _completed(change: _Change) -> _Change:
    """`change` with what a hand-written event may leave out."""
    now = datetime.now(UTC)
    document = change.get("fullDocument") or change.get("fullDocumentBeforeChange") or {}
    seconds = int(now.timestamp())
    token = {"_data": f"82{seconds:08X}{1:08X}"}
    defaults: _Change = {"_id": token, "clusterTime": Timestamp(seconds, 1)}
    if "clusterTime" not in change:
        defaults["wallTime"] = now
    if "_id" in document:
        defaults["documentKey"] = {"_id": document["_id"]}
    return {**defaults, **change}
