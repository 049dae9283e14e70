"""What kind of trouble an error of MongoDB is: a pure table, so that every loop decides alike.

The codes are those of the server's `error_codes.yml`; the resumable ones follow the change streams
specification of the drivers ("Resumable Error", allow-list and the label `ResumableChangeStreamError`).
"""

from collections.abc import Mapping
from enum import Enum

from bson.errors import InvalidBSON
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    WaitQueueTimeoutError,
)


class Fault(Enum):
    """What to do about an error."""

    PASSING = "passing"
    """Wait and try again: the network, an election, a server that restarts."""
    FORBIDDEN = "forbidden"
    """Credentials or privileges: an operator mends it; at run time it may be a rotation, so wait and try."""
    HISTORY_LOST = "history lost"
    """The oplog no longer reaches back to the position."""
    BAD_TOKEN = "bad token"  # noqa: S105 - a resume token is no secret
    """The position cannot be resumed from, although its time may still be in the oplog."""
    TOO_LARGE = "too large"
    """A document or event above the 16 MB limit of BSON."""
    UNDECODABLE = "undecodable"
    """Bytes that are no valid BSON for Python."""
    FATAL = "fatal"
    """Nothing that waiting would mend."""


DUPLICATE_KEY = 11000
"""The server's code, DuplicateKey, where a write would make what is there already. Whoever writes knows what
that means."""

_PASSING_CODES = frozenset({
    6,  # HostUnreachable
    7,  # HostNotFound
    43,  # CursorNotFound
    50,  # MaxTimeMSExpired
    63,  # StaleShardVersion
    64,  # WriteConcernFailed
    89,  # NetworkTimeout
    91,  # ShutdownInProgress
    133,  # FailedToSatisfyReadPreference
    134,  # ReadConcernMajorityNotAvailableYet
    150,  # StaleEpoch
    189,  # PrimarySteppedDown
    216,  # ElectionInProgress
    222,  # CloseChangeStream
    234,  # RetryChangeStream
    237,  # CursorKilled
    262,  # ExceededTimeLimit
    9001,  # SocketException
    10107,  # NotWritablePrimary
    11600,  # InterruptedAtShutdown
    11601,  # Interrupted
    11602,  # InterruptedDueToReplStateChange
    365,  # TemporarilyUnavailable: pressure on the cache
    388,  # TransactionTooLargeForCache: seen for single large documents while the cache was under pressure
    13388,  # StaleConfig
    13435,  # NotPrimaryNoSecondaryOk
    13436,  # NotPrimaryOrSecondary
    14031,  # OutOfDiskSpace: an operator makes room; until then nothing may be dropped
})  # fmt: skip
_FORBIDDEN_CODES = frozenset({13, 18, 8000})  # Unauthorized, AuthenticationFailed, AtlasError
_HISTORY_LOST_CODES = frozenset({286, 136})  # ChangeStreamHistoryLost, CappedPositionLost
_BAD_TOKEN_CODES = frozenset({
    260,  # InvalidResumeToken
    280,  # ChangeStreamFatalError
    464,  # ShardRemovedError
    40576, 40585, 40615, 40647, 50811, 50788, 50795,  # malformed tokens, by the older assertions
})  # fmt: skip
_TOO_LARGE_CODES = frozenset({10334, 17280})  # BSONObjectTooLarge, KeyTooLong's assertion
_UNNAMED_CODES = frozenset({1, 8})  # InternalError, UnknownError: what the storage engine has no code for
_NO_ROOM = ("No space left on device", "Disk quota exceeded")
_ILLEGAL_OPERATION = 20
_NO_REPLICA_SET = "Transaction numbers are only allowed on a replica set"
"""The answer of a server that is no replica set to a write that can be retried. The driver sends it one only
when it tries again after a connection that broke while it was made (seen with PyMongo 4.20: it does not look
again then what kind of server this is). Nothing was written, and the next try is a plain one."""
_LABELS = ("ResumableChangeStreamError", "RetryableWriteError", "TransientTransactionError")

_BY_CODE: Mapping[int, Fault] = {
    **dict.fromkeys(_PASSING_CODES, Fault.PASSING),
    **dict.fromkeys(_FORBIDDEN_CODES, Fault.FORBIDDEN),
    **dict.fromkeys(_HISTORY_LOST_CODES, Fault.HISTORY_LOST),
    **dict.fromkeys(_BAD_TOKEN_CODES, Fault.BAD_TOKEN),
    **dict.fromkeys(_TOO_LARGE_CODES, Fault.TOO_LARGE),
}


def classify(error: BaseException) -> Fault:
    """The kind of trouble `error` is. What is not known is FATAL: an unknown error is never waited out."""
    if isinstance(error, InvalidBSON):
        return Fault.UNDECODABLE
    if isinstance(error, BulkWriteError):
        return _of_bulk_write(error)
    if isinstance(error, OperationFailure) and not isinstance(error, ExecutionTimeout):
        fault = _of_code(error.code or 0, str((error.details or {}).get("errmsg", "")))
        if fault is not Fault.FATAL:
            return fault
    if isinstance(
        error, (AutoReconnect, ConnectionFailure, NetworkTimeout, WaitQueueTimeoutError, ExecutionTimeout)
    ):
        return Fault.PASSING
    if isinstance(error, PyMongoError) and any(error.has_error_label(label) for label in _LABELS):
        return Fault.PASSING
    return Fault.FATAL


def passes(error: BaseException) -> bool:
    """Whether waiting and trying again may mend `error`, in something that runs already."""
    return classify(error) in (Fault.PASSING, Fault.FORBIDDEN)


def _of_code(code: int, message: str) -> Fault:
    if code in _UNNAMED_CODES and any(words in message for words in _NO_ROOM):
        return Fault.PASSING
    if code == _ILLEGAL_OPERATION and message.startswith(_NO_REPLICA_SET):
        return Fault.PASSING
    return _BY_CODE.get(code, Fault.FATAL)


def _of_bulk_write(error: BulkWriteError) -> Fault:
    """The worst of a bulk write's errors; write-concern errors alone are waited out."""
    errors = error.details.get("writeErrors", ())
    faults = {_of_code(int(item.get("code", 0)), str(item.get("errmsg", ""))) for item in errors}
    for fault in (Fault.FATAL, Fault.FORBIDDEN, Fault.TOO_LARGE):
        if fault in faults:
            return fault
    return Fault.PASSING
