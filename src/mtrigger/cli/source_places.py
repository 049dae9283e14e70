"""Where sources stand, as `mtrigger source list` shows it, and forgetting it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtrigger.cli.addresses import Addresses
from mtrigger.cli.connecting import state
from mtrigger.cli.output import iso, relaxed, table
from mtrigger.cli.owners import owner, refuse_if_watched, sentence
from mtrigger.deployment.connecting import connect
from mtrigger.sources.places import place_in, stream_of
from mtrigger.sources.source_rows import SourceRows
from mtrigger.stores.base import Checkpoint
from mtrigger.stores.mongo_positions import CHECKPOINTS
from mtrigger.stores.rows import read_checkpoint
from mtrigger.stores.steadiness import StateOutage


async def listed(where: Addresses) -> list[dict[str, Any]]:
    """One document a source."""
    async with state(where) as store, connect(where.state_uri) as client:
        wanted = {"_id": {"$regex": f"^{stream_of('')}"}}
        rows = await client[where.state_db][CHECKPOINTS].find(wanted, sort=[("_id", 1)]).to_list()
        found = [read_checkpoint(row) for row in rows]
        return [_document(checkpoint, await owner(store, checkpoint.stream)) for checkpoint in found]


def _document(checkpoint: Checkpoint, owned_by: Mapping[str, Any] | None) -> dict[str, Any]:
    place = place_in(checkpoint)
    return {
        "name": checkpoint.stream.removeprefix(stream_of("")),
        "updated_at": iso(checkpoint.updated_at),
        "owner": owned_by,
        "tables": [
            {
                "table": name,
                "place": at.place,
                "passes": at.passes,
                "rows": at.rows,
                "rejected": at.rejected,
                "error": at.error or None,
            }
            for name, at in place.tables.items()
        ],
    }


def shown(documents: Sequence[Mapping[str, Any]], *, as_json: bool) -> str:
    """The documents for a program, or a table for people."""
    if as_json:
        return relaxed({"sources": documents}, indent=2)
    return "\n\n".join("\n".join(_lines(document)) for document in documents) or "no source was ever read"


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"{document['name']}: read by {sentence(document['owner'])}"
    headings = ("TABLE", "ROWS", "REJECTED", "PASSES", "PLACE", "WRONG")
    rows = [
        (
            at["table"],
            f"{at['rows']:,}",
            f"{at['rejected']:,}",
            f"{at['passes']:,}",
            relaxed(at["place"]) if at["place"] else "",
            at["error"] or "",
        )
        for at in document["tables"]
    ]
    yield table(headings, rows) if rows else "  nothing read yet"


async def forget(where: Addresses, name: str, *, force: bool) -> bool:
    """Forget where the source stands and what its snapshots remember; False if there was nothing. Raises
    OwnershipError while a process reads it, unless that is to be overruled."""
    async with state(where) as store, connect(where.state_uri) as client:
        await refuse_if_watched(store, stream_of(name), force=force)
        await SourceRows(client[where.state_db], name, StateOutage(None)).forget_all()
        return await store.reset(stream_of(name))
