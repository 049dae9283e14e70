"""What an update says about itself, whatever its document looks like: which updates cannot matter. Pure.

An update without a stored image is held against a document that is looked up later, with the fields over it
that the update itself set (`planning.filled_in`). So a field that it set as a whole is certain, and when a
necessary test of that field fails, the rule cannot hold. Everything else is unknown and let through: a field
that it did not set, a path below a field (`items.3.qty` is one literal name in `updatedFields`, which no
dotted path finds), and a value that such a name could change further, a document or an array.
"""

from collections.abc import Iterable
from typing import Any

from mtrigger.conditions.atoms import Alternative, Atom
from mtrigger.conditions.merging import merged_filter
from mtrigger.conditions.server_fields import Prefixes, checked_name

_SET = "updateDescription.updatedFields"
_PREFIXES: Prefixes = {"document": _SET, "before": "fullDocumentBeforeChange", "event": ""}

_TOUCHED: dict[str, Any] = {
    "$concatArrays": [
        {"$map": {"input": {"$objectToArray": {"$ifNull": [f"${_SET}", {}]}}, "in": "$$this.k"}},
        {"$ifNull": ["$updateDescription.removedFields", []]},
        {"$ifNull": ["$updateDescription.truncatedArrays.field", []]},
    ]
}
"""The paths that an update set, removed or truncated, as an expression."""

MOST_FIELDS = 20
"""Names of `fields:` that one expression asks for."""


def says(alternative: Alternative) -> bool:
    """Whether an update can tell by itself that no atom holds: each is about a top-level field, about the
    document before the change or about the event."""
    return all(atom.root != "document" or len(atom.path) == 1 for atom in alternative)


def may_hold(atoms: Iterable[Atom]) -> dict[str, Any]:
    """A filter that fails only for updates after which none of `atoms` can hold. They are those of
    alternatives that `says` is true of. Raises NotTranslatable."""
    found = tuple(atoms)
    parts = [merged_filter(found, _PREFIXES)]
    for name in sorted({checked_name(str(atom.path[0])) for atom in found if atom.root == "document"}):
        parts.append({f"{_SET}.{name}": {"$exists": False}})
        parts.append({f"{_SET}.{name}": {"$type": ["object", "array"]}})
    return parts[0] if len(parts) == 1 else {"$or": parts}


def touch(fields: Iterable[str]) -> dict[str, Any]:
    """A filter for updates that may touch one of `fields` (dotted paths), something below or above it.

    Every path that does has the first name of one of them among its own names, so that is what is asked;
    which of them it is, and where, `matching` says.
    """
    names = sorted({field.partition(".")[0] for field in fields})
    if len(names) > MOST_FIELDS:
        return {}
    # By bytes, not by a pattern: a name that is no valid text would fail the stream.
    among = [{"$gte": [{"$indexOfBytes": ["$$path", f".{name}."]}, 0]} for name in names]
    dotted = {"$map": {"input": _TOUCHED, "in": {"$concat": [".", "$$this", "."]}}}
    return {"$expr": {"$anyElementTrue": {"$map": {"input": dotted, "as": "path", "in": {"$or": among}}}}}
