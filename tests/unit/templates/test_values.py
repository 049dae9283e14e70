"""What leaves a template or a webhook as JSON is what the driver itself would write."""

import random
from datetime import datetime
from typing import Any

import pytest
from bson import json_util
from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.templates.values import extended_json
from support import random_documents


def as_the_driver_writes(value: Any, indent: int | None = None) -> str:
    return json_util.dumps(
        value, json_options=json_util.RELAXED_JSON_OPTIONS, ensure_ascii=False, indent=indent
    )


@given(st.integers(0, 2**32))
def test_documents_become_the_same_json(seed: int) -> None:
    """Over documents of every BSON type, on one line and indented."""
    document = random_documents.document(random.Random(seed))
    assert extended_json(document) == as_the_driver_writes(document)
    assert extended_json(document, 2) == as_the_driver_writes(document, 2)


@pytest.mark.parametrize(
    "value",
    [
        Code("x"),
        Code("y", {"a": ObjectId("0" * 24)}),
        DBRef("orders", ObjectId("1" * 24)),
        Regex("a", "i"),
        MinKey(),
        Timestamp(1, 2),
        DatetimeMS(2**60),
        Binary(b"x", 5),
        float("nan"),
        float("-inf"),
        -0.0,
        Int64(2**53 + 1),
        Decimal128("NaN"),
        datetime(1969, 1, 1),  # noqa: DTZ001 - as a client without time zones reads it
        (1, [2, {"a": None}]),
        range(3),
        "ü\u2028",
    ],
    ids=repr,
)
def test_rare_values_become_the_same_json(value: Any) -> None:
    """Alone and within a document."""
    assert extended_json(value) == as_the_driver_writes(value)
    assert extended_json({"a": [value]}) == as_the_driver_writes({"a": [value]})
