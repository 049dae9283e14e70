"""What the server's refusals mean for the delivery whose write they speak against."""

from typing import Any

import pytest
from pymongo.errors import AutoReconnect, BulkWriteError, OperationFailure

from mtrigger.effects import Effect
from mtrigger.errors import PermanentError
from mtrigger.stores.effect_writes import is_contention, refusal
from mtrigger.stores.effects import CarriedOutBeforeError, ContendedError

UPSERT = Effect("shop", "t", "update", {"a": {"$eq": 1}}, {"$inc": {"n": 1}}, upsert=True)
OWN = Effect("shop", "t", "insert", value={"_id": "x"}, own_id=True)
THEIRS = Effect("shop", "t", "insert", value={"_id": "x"})


def refused(code: int, **details: Any) -> BulkWriteError:
    """A write that the server refuses."""
    return BulkWriteError({"writeErrors": [{"code": code, "errmsg": "why", **details}]})


@pytest.mark.parametrize(
    ("error", "effect", "kind", "said"),
    [
        (refused(11000, keyPattern={"_id": 1}), OWN, CarriedOutBeforeError, ""),
        (refused(11000, keyPattern={"_id": 1}), THEIRS, PermanentError, "the same `_id`"),
        (refused(11000, keyPattern={"a": 1}), UPSERT, ContendedError, "the same document of shop.t"),
        (refused(11000, keyPattern={"a": 1, "b": 1}), UPSERT, PermanentError, "the same `a`, `b`"),
        (refused(11000, keyPattern={"b": 1}), UPSERT, PermanentError, "the same `b`"),
        (refused(11000), THEIRS, PermanentError, "the same values of a unique index"),
        (refused(121), UPSERT, PermanentError, "the validation of the collection"),
        (refused(14), UPSERT, PermanentError, "update in shop.t was refused: why"),
        (OperationFailure("why", 263, {"errmsg": "capped"}), OWN, PermanentError, "refused: capped"),
        (OperationFailure("why", 112), UPSERT, ContendedError, "others kept writing"),
        (OperationFailure("why", 246), UPSERT, ContendedError, "others kept writing"),
        (OperationFailure("why", 13), UPSERT, OperationFailure, "why"),
        (AutoReconnect("away"), UPSERT, AutoReconnect, "away"),
    ],
    ids=[
        *("own id", "id", "overtaken", "two fields", "another field", "no pattern", "validation"),
        *("type", "capped", "conflict", "snapshot", "forbidden", "network"),
    ],
)
def test_a_refusal_says_whether_to_try_again(
    error: BulkWriteError, effect: Effect, kind: type[Exception], said: str
) -> None:
    """For good, contended, done before; everything else is for the rule's retry policy."""
    found = refusal(error, effect)
    assert type(found) is kind
    assert said in str(found)


def test_a_document_that_was_just_made_by_somebody_else_will_be_found() -> None:
    """Two upserts with the same key at the same time: one is first."""
    error = refused(11000, keyPattern={"a": 1})
    assert is_contention(error, [THEIRS, UPSERT])
    assert not is_contention(error, [THEIRS, OWN])


def test_what_a_schema_misses_is_named() -> None:
    """As far as the server says."""
    rules = [
        {"operatorName": "properties", "propertiesNotSatisfied": [{"propertyName": "amount"}]},
        {"operatorName": "required", "missingProperties": ["region", "shop"]},
    ]
    found = refusal(refused(121, errInfo={"details": {"schemaRulesNotSatisfied": rules}}), UPSERT)
    assert str(found).endswith("(see `amount`, `region, shop`)")
