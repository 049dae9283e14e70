"""A delivery as a CloudEvent 1.0 (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md)."""

import re
from typing import Any
from urllib.parse import quote

from mtrigger.actions.base import Work
from mtrigger.actions.standard_message import standard_data
from mtrigger.templates import printed
from mtrigger.templates.values import extended_json

_OF_MONGODB = frozenset({"insert", "update", "replace", "delete"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # no CloudEvents string may hold them


def cloud_event(work: Work) -> dict[str, Any]:
    """The event in JSON's structured mode. Its id is the delivery's, its source the collection; its data is
    that of the standard message."""
    event = work.scope["event"]
    operation = event["operation"]
    names = (event["database"], event["collection"])
    message = {
        "specversion": "1.0",
        "id": work.delivery_id,
        "source": "/" + "/".join(quote(name, safe="") for name in names if name),
        "type": f"{'com.mongodb' if operation in _OF_MONGODB else 'mtrigger'}.{operation}",
        "subject": _subject(event["key"]),
        "time": printed(event["time"]),
        "datacontenttype": "application/json",
        "data": standard_data(work),
    }
    return message if message["subject"] else {name: message[name] for name in message if name != "subject"}


def _subject(key: Any) -> str:
    """The document's `_id` as templates print it, or its whole key where that has more fields."""
    text = str(printed(key["_id"])) if set(key) == {"_id"} else extended_json(key) if key else ""
    return _CONTROL.sub(lambda found: quote(found[0]), text)
