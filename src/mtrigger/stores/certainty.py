"""Collections of the state whose answers are decided upon.

Promise: what is read there cannot be rolled back, and what was written is on a majority when the call
returns, whatever the options in the address say: who reads from a secondary decides by what was true before.
"""

from typing import Any

from pymongo import ReadPreference, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_concern import ReadConcern


def certain(state: AsyncDatabase[dict[str, Any]], name: str) -> AsyncCollection[dict[str, Any]]:
    """The collection `name` of `state`, read and written by majority, at the primary."""
    return state.get_collection(
        name,
        read_concern=ReadConcern("majority"),
        write_concern=WriteConcern("majority"),
        read_preference=ReadPreference.PRIMARY,
    )
