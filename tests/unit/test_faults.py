"""What kind of trouble an error is: the table that every loop decides by."""

from typing import Any

import pytest
from bson.errors import InvalidBSON
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    NotPrimaryError,
    OperationFailure,
    ServerSelectionTimeoutError,
    WriteConcernError,
    WTimeoutError,
)

from mtrigger.faults import Fault, classify


def failure(code: int, *labels: str) -> OperationFailure:
    return OperationFailure("it failed", code, {"errorLabels": list(labels)})


def bulk(*codes: int, concern: int = 0) -> BulkWriteError:
    details: dict[str, Any] = {
        "writeErrors": [{"code": code, "errmsg": "no"} for code in codes],
        "writeConcernErrors": [{"code": concern, "errmsg": "not yet"}] if concern else [],
    }
    return BulkWriteError(details)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (AutoReconnect("connection closed"), Fault.PASSING),
        (NotPrimaryError("not primary"), Fault.PASSING),
        (ServerSelectionTimeoutError("nobody there"), Fault.PASSING),
        (ExecutionTimeout("too slow", 50), Fault.PASSING),
        (WTimeoutError("replication is slow", 64), Fault.PASSING),
        (WriteConcernError("shutting down", 91), Fault.PASSING),
        (failure(43), Fault.PASSING),  # CursorNotFound
        (failure(237), Fault.PASSING),  # CursorKilled
        (failure(11601), Fault.PASSING),  # Interrupted
        (failure(14031), Fault.PASSING),  # OutOfDiskSpace
        (failure(4711, "ResumableChangeStreamError"), Fault.PASSING),
        (failure(4711, "RetryableWriteError"), Fault.PASSING),
        (failure(4711), Fault.FATAL),
        (failure(13), Fault.FORBIDDEN),
        (failure(18), Fault.FORBIDDEN),
        (failure(286), Fault.HISTORY_LOST),
        (failure(286, "ResumableChangeStreamError"), Fault.HISTORY_LOST),
        (failure(280), Fault.BAD_TOKEN),
        (failure(260), Fault.BAD_TOKEN),
        (failure(10334), Fault.TOO_LARGE),
        (failure(121), Fault.FATAL),  # DocumentValidationFailure
        (DuplicateKeyError("there already", 11000), Fault.FATAL),
        (ConfigurationError("nonsense"), Fault.FATAL),
        (InvalidBSON("year 10000 is out of range"), Fault.UNDECODABLE),
        (ValueError("a bug"), Fault.FATAL),
        (bulk(concern=64), Fault.PASSING),
        (bulk(10107), Fault.PASSING),
        (bulk(10107, 121), Fault.FATAL),
        (bulk(10107, 13), Fault.FORBIDDEN),
        (bulk(13, 10334), Fault.FORBIDDEN),
        (bulk(10334, concern=64), Fault.TOO_LARGE),
        (bulk(4711), Fault.FATAL),
    ],
    ids=lambda value: "-".join(str(value).split())[:50],
)
def test_every_error_has_its_kind(error: Exception, fault: Fault) -> None:
    """A history that is lost is lost whatever labels come with it; of several, the worst counts; and what is
    not known is never waited out."""
    assert classify(error) is fault


NO_ROOM = "WiredTigerRecordStore::insertRecord 28: No space left on device"


@pytest.mark.parametrize("code", [1, 8])
def test_a_full_disk_passes_although_the_server_has_no_code_for_it(code: int) -> None:
    """As MongoDB 6.0 reports it; other errors without a name are not waited out."""
    error = {"code": code, "errmsg": NO_ROOM}
    other = {**error, "errmsg": "something else"}
    assert classify(OperationFailure(NO_ROOM, code, error)) is Fault.PASSING
    assert classify(BulkWriteError({"writeErrors": [error]})) is Fault.PASSING
    assert classify(OperationFailure("something else", code, other)) is Fault.FATAL
    assert classify(BulkWriteError({"writeErrors": [error, other]})) is Fault.FATAL


def test_a_retryable_write_that_a_server_does_not_know_passes() -> None:
    """The driver sends one by mistake, and no second time; other illegal operations stay illegal."""
    words = "Transaction numbers are only allowed on a replica set member or mongos"
    advice = "This MongoDB deployment does not support retryable writes."  # the driver's own words for it
    assert classify(OperationFailure(advice, 20, {"code": 20, "errmsg": words})) is Fault.PASSING
    assert classify(OperationFailure("no", 20, {"code": 20, "errmsg": "no"})) is Fault.FATAL


def test_a_document_too_large_for_the_driver_is_not_waited_out() -> None:
    """Waiting would not make it smaller."""
    assert classify(DocumentTooLarge("17 MB")) is not Fault.PASSING
