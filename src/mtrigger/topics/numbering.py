"""Numbering: how messages that producers merely insert get their place in the topic.

A message is inserted without an offset and numbered afterwards, by whoever reads. The promise: numbers are
given once and never change, and when the topic's row says that `next` comes next, every message below it has
its number, on a majority. So nothing ever appears behind a reader who stays below `next`, also a message
whose transaction committed late: it is found later and gets a later number.

Numbering takes three steps, each one command of which any number of helpers may be in the midst:

1. *Claim*: the ids of messages without an offset go into the row, if it is still as it was read and claims
   none.
2. *Complete*: each of them gets `next` and its place among them, unless it has a number.
3. *Advance*: `next` goes past them and the claim ends, if it is still this claim.

A helper that dies leaves a claim that any other one completes; one that was stopped and goes on finds that
everything it would number has a number. An id that vanished leaves a hole, which harms nobody. There is no
lock, no lease, no clock and no transaction in it. Ids and numbers stay on the server from beginning to end,
so an id may be anything, also what Python cannot hold. All steps of one round belong to one causally
consistent session: a member that has been deposed and does not know it cannot answer for the topic.

Messages without a number are found in the order in which the server has stored them: that is the order of
equal keys in an index. Another member of the replica set may have stored them in another order, and becomes
primary one day: so where all that are claimed together have the server's time of their insert, they are put
in order by it.
"""

from collections.abc import Mapping
from typing import Any

from bson import ObjectId
from bson.int64 import Int64

ROWS = "topics"
"""The collection of the topics' rows."""

INDEX = "numbers"
"""The name of the index by which messages are found and read."""

KEYS = (("offset", 1),)
"""What it is over."""

LARGEST_ID = 1_000_000
"""Bytes of an `_id` that is numbered: ids that are claimed have to fit into the topic's row."""

LARGEST_NUMBERED = 16 * 1024 * 1024 - 1024
"""Bytes of a message to which its offset and its time can be added for certain."""

TOO_LARGE = "it was too large to be given an offset: all but its id has been left out"

_UNDEFINED = 6
"""A type of BSON that no program of today writes; `$merge` refuses it as an id, as it does null."""

_IS_TIMED: Mapping[str, Any] = {"$eq": [{"$type": "$inserted"}, "timestamp"]}

_INSERTED: Mapping[str, Any] = {"$min": ["$$NOW", {"$add": [{"$toDate": "$inserted"}, 999]}]}
"""When a message was inserted. The server notes seconds: the end of that one, so that who begins at a time
misses nothing."""

_TIME: Mapping[str, Any] = {"$ifNull": ["$time", {"$cond": [_IS_TIMED, _INSERTED, "$$NOW"]}]}
"""The time of a message: its producer's, else when it was inserted as far as that is known, else now."""

Pipeline = list[Mapping[str, Any]]


def new_row(highest: int) -> dict[str, Any]:
    """The fields of a topic's row with which numbering begins, behind the `highest` number that is given."""
    return {"next": Int64(highest + 1), "first": Int64(1), "numbering": [], "claim": None}


def claiming(topic: str, following: int, claim: ObjectId, limit: int) -> Pipeline:
    """For the collection of messages, with INDEX as the hint: claim at most `limit` messages as `claim`, if
    `following` is still the next offset and nothing is claimed."""
    free = {"$and": [{"$eq": ["$next", "$$following"]}, {"$eq": ["$numbering", []]}]}
    taken = {
        "numbering": {"$cond": [free, "$$ids", "$numbering"]},
        "claim": {"$cond": [free, "$$claim", "$claim"]},
    }
    return [
        {"$match": {"offset": None, "_id": {"$not": {"$type": _UNDEFINED}}}},
        {"$limit": limit},
        {"$group": {"_id": topic, "found": {"$push": {"id": "$_id", "inserted": "$inserted"}}}},
        {
            "$merge": {
                "into": ROWS,
                "let": {"following": Int64(following), "claim": claim, "ids": _in_order("$found")},
                "whenMatched": [{"$set": taken}],
                "whenNotMatched": "discard",
            }
        },
    ]


def claiming_small(topic: str, following: int, claim: ObjectId, limit: int) -> Pipeline:
    """The same where ids are so large that a claim does not fit: those above LARGEST_ID are left alone."""
    small: Mapping[str, Any] = {"$match": {"$expr": {"$lte": [{"$bsonSize": {"id": "$_id"}}, LARGEST_ID]}}}
    first, *rest = claiming(topic, following, claim, limit)
    return [first, small, *rest]


def completing(topic: str, collection: str, claim: ObjectId) -> Pipeline:
    """For the collection of rows: number what `claim` holds, as far as it has no number."""
    numbered = {"offset": {"$ifNull": ["$offset", "$$number"]}, "time": _TIME}
    return _numbering(topic, collection, claim, [{"$set": numbered}])


def completing_large(topic: str, collection: str, claim: ObjectId) -> Pipeline:
    """The same when one of them is so large that a number does not fit into it any more: whoever comes near
    that keeps nothing but its id. (A message that blocked its topic for ever would be worse.)"""
    added = {"offset": "$$number", "time": _TIME}
    emptied = {"_id": "$_id", "offset": "$$number", "time": "$$NOW", "flaw": TOO_LARGE}
    has_number = {"case": {"$gt": ["$offset", None]}, "then": "$$ROOT"}
    too_large = {"case": {"$gt": [{"$bsonSize": "$$ROOT"}, LARGEST_NUMBERED]}, "then": emptied}
    written = {"branches": [has_number, too_large], "default": {"$mergeObjects": ["$$ROOT", added]}}
    return _numbering(topic, collection, claim, [{"$replaceWith": {"$switch": written}}])


def completing_null(number: int) -> tuple[Mapping[str, Any], Pipeline]:
    """For the collection of messages: the filter and the update that number the one whose id is null, if it
    has no number. (`$merge` does not take it.)"""
    numbered = {"offset": Int64(number), "time": _TIME}
    return {"_id": None, "offset": None}, [{"$set": numbered}]


def advancing(topic: str, claim: ObjectId) -> tuple[Mapping[str, Any], Pipeline]:
    """For the collection of rows: the filter and the update that end `claim`, once it is completed."""
    following = {"$add": ["$next", {"$size": "$numbering"}]}
    return {"_id": topic, "claim": claim}, [{"$set": {"next": following, "numbering": [], "claim": None}}]


def _in_order(found: str) -> Mapping[str, Any]:
    """The ids of what was found, by the time of the insert where all of them have one."""
    is_timed = {"$eq": [{"$type": "$$this.inserted"}, "timestamp"]}
    timed = {"$allElementsTrue": [{"$map": {"input": found, "in": is_timed}}]}
    ordered = {"$cond": [timed, {"$sortArray": {"input": found, "sortBy": {"inserted": 1}}}, found]}
    return {"$map": {"input": ordered, "in": "$$this.id"}}


def _numbering(topic: str, collection: str, claim: ObjectId, write: Pipeline) -> Pipeline:
    return [
        {"$match": {"_id": topic, "claim": claim}},
        {"$unwind": {"path": "$numbering", "includeArrayIndex": "place"}},
        {"$match": {"numbering": {"$ne": None}}},
        {"$project": {"_id": "$numbering", "number": {"$add": ["$next", "$place"]}}},
        {
            "$merge": {
                "into": collection,
                "let": {"number": "$number"},
                "whenMatched": write,
                "whenNotMatched": "discard",
            }
        },
    ]
