"""Effects as writes of the driver, and what the server's refusals of them mean: no I/O."""

from collections.abc import Iterable, Mapping
from typing import Any

from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError

from mtrigger.effects import Effect
from mtrigger.errors import PermanentError
from mtrigger.faults import DUPLICATE_KEY
from mtrigger.stores.effects import CarriedOutBeforeError, ContendedError

Write = InsertOne[dict[str, Any]] | UpdateOne | ReplaceOne[dict[str, Any]] | DeleteOne

_INVALID_DOCUMENT = 121  # DocumentValidationFailure
_CONTENTION = frozenset({112, 24, 246})  # WriteConflict, LockTimeout, SnapshotUnavailable

_FOR_GOOD = frozenset({
    2,  # BadValue
    9,  # FailedToParse
    14,  # TypeMismatch: `$inc` of a text
    15,  # Overflow: nested too deeply
    16,  # InvalidLength
    20,  # IllegalOperation
    28,  # PathNotViable
    40,  # ConflictingUpdateOperators
    52,  # DollarPrefixedFieldName
    54,  # NotSingleValueField
    56,  # EmptyFieldName
    57,  # DottedFieldName
    66,  # ImmutableField
    73,  # InvalidNamespace
    166,  # CommandNotSupportedOnView
    263,  # OperationNotSupportedInTransaction: a capped or a time series collection
    10003,  # a document of a capped collection would grow
    10334,  # BSONObjectTooLarge
    17280,  # a key too large for its index
    17419,  # the document would become too large
    51024,  # a key with too many arrays
})  # fmt: skip
"""What the server says of the write itself: it says the same at every attempt."""


def writes(effects: Iterable[Effect]) -> Mapping[tuple[str, str], list[Write]]:
    """The writes that carry out `effects`, by database and collection."""
    found: dict[tuple[str, str], list[Write]] = {}
    for effect in effects:
        found.setdefault((effect.database, effect.collection), []).append(_write(effect))
    return found


def _write(effect: Effect) -> Write:
    match effect.operation:
        case "insert":
            return InsertOne(dict(effect.value))
        case "update":
            return UpdateOne(effect.filter, effect.value, upsert=effect.upsert)
        case "replace":
            return ReplaceOne(effect.filter, dict(effect.value), upsert=effect.upsert)
        case "delete":
            return DeleteOne(effect.filter)


def code_of(error: PyMongoError) -> int:
    """The server's code of `error`, 0 if it has none."""
    if isinstance(error, BulkWriteError):
        return int(_first(error).get("code", 0))
    return error.code or 0 if isinstance(error, OperationFailure) else 0


def is_contention(error: PyMongoError, effects: Iterable[Effect]) -> bool:
    """Whether others wrote at the same time what `effects` write, so that the next try may go well."""
    return code_of(error) in _CONTENTION or any(_is_overtaken(error, effect) for effect in effects)


def _is_overtaken(error: PyMongoError, effect: Effect) -> bool:
    """Whether somebody else has just made the document that `effect` was to make: it will be found."""
    unique = _detail(error).get("keyPattern") or {}
    return code_of(error) == DUPLICATE_KEY and effect.upsert and unique.keys() == effect.filter.keys()


def refusal(error: PyMongoError, effect: Effect) -> Exception:
    """What `error` means for the delivery whose effect it speaks against; `error` itself when trying again
    may mend it."""
    code, where = code_of(error), f"the {effect.account} was refused"
    detail = _detail(error)
    if is_contention(error, [effect]):
        return ContendedError(f"others kept writing the same document of {effect.namespace}")
    if code == DUPLICATE_KEY:
        fields = list(detail.get("keyPattern") or {})
        if effect.own_id and fields == ["_id"]:
            return CarriedOutBeforeError(effect.account)
        names = ", ".join(f"`{name}`" for name in fields) or "values of a unique index"
        return PermanentError(
            f"{where}: another document has the same {names} already. Mend the document or the rule (to "
            "write over what is there: `replace` or `update` with `upsert: true`, or `sink` with `mode: "
            "upsert`), then try it again"
        )
    if code == _INVALID_DOCUMENT:
        return PermanentError(
            f"{where}: the document does not pass the validation of the collection{_failed_rules(detail)}"
        )
    if code in _FOR_GOOD:
        return PermanentError(f"{where}: {detail.get('errmsg') or error}")
    return error


def _failed_rules(detail: Mapping[str, Any]) -> str:
    """Which properties of a JSON schema were not met, as far as the server says."""
    info = detail.get("errInfo") or {}
    rules = (info.get("details") or {}).get("schemaRulesNotSatisfied") or ()
    names = [
        str(part.get("propertyName") or ", ".join(rule.get("missingProperties", ())))
        for rule in rules
        for part in rule.get("propertiesNotSatisfied") or (rule,)
    ]
    named = ", ".join(f"`{name}`" for name in names if name)
    return f" (see {named})" if named else ""


def _detail(error: PyMongoError) -> Mapping[str, Any]:
    """What the server said of the write."""
    if isinstance(error, BulkWriteError):
        return _first(error)
    return error.details or {} if isinstance(error, OperationFailure) else {}


def _first(error: BulkWriteError) -> Mapping[str, Any]:
    errors = error.details.get("writeErrors") or error.details.get("writeConcernErrors")
    return errors[0] if errors else {}
