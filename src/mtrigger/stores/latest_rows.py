"""Rows of which the latest counts: one write for all that is kept so.

Promise: a row that is there and later is left alone, so what an earlier owner had on its way, or what is
read a second time, changes nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pymongo import ReplaceOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError

from mtrigger.faults import DUPLICATE_KEY


async def put_unless_later(
    collection: AsyncCollection[dict[str, Any]], rows: Iterable[Mapping[str, Any]], by: str
) -> None:
    """Write `rows`, at least one, each in the place of the one with its `_id`, unless that has a greater
    value in the field `by`. Raises what the driver does."""
    writes = [
        ReplaceOne({"_id": row["_id"], by: {"$not": {"$gt": row[by]}}}, dict(row), upsert=True)
        for row in rows
    ]
    try:
        await collection.bulk_write(writes, ordered=False)
    except BulkWriteError as error:
        # The filter does not find a later row, so the upsert inserts, and the `_id` is taken.
        others = [item for item in error.details["writeErrors"] if item["code"] != DUPLICATE_KEY]
        if others or error.details["writeConcernErrors"]:
            raise
