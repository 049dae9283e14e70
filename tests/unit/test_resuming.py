"""How reading goes on after an error: the whole table, and tokens that do not belong to their time."""

from typing import Any

import pytest
from bson.errors import InvalidBSON
from bson.timestamp import Timestamp
from pymongo.errors import AutoReconnect, OperationFailure

from mtrigger.errors import DeploymentError, MtriggerError
from mtrigger.position.resuming import Phase, Resumption, resumption, starting_position
from mtrigger.reading.stream import StreamPosition
from mtrigger.stores.base import Checkpoint
from support.samples import NOW, token_at

TIME = Timestamp(1_769_853_600, 7)
WITH_TOKEN = StreamPosition({"_data": token_at(7)}, TIME, "abc")
BY_TIME = StreamPosition(None, TIME, "")


def failure(code: int) -> OperationFailure:
    """What the server says with `code`."""
    return OperationFailure("what the server said", code)


@pytest.mark.parametrize(
    ("error", "position", "phase", "tried", "expected"),
    [
        (AutoReconnect("gone"), WITH_TOKEN, "opening", None, Resumption.AGAIN),
        (failure(43), WITH_TOKEN, "reading", None, Resumption.AGAIN),
        (failure(13), WITH_TOKEN, "reading", None, Resumption.AGAIN),
        (failure(286), WITH_TOKEN, "opening", None, Resumption.HISTORY_LOST),
        (failure(286), BY_TIME, "reading", None, Resumption.HISTORY_LOST),
        (failure(136), WITH_TOKEN, "reading", None, Resumption.HISTORY_LOST),
        (failure(280), WITH_TOKEN, "opening", None, Resumption.BY_TIME),
        (failure(280), WITH_TOKEN, "reading", None, Resumption.BY_TIME),
        (failure(280), WITH_TOKEN, "reading", Timestamp(1, 1), Resumption.BY_TIME),
        (failure(280), WITH_TOKEN, "reading", TIME, Resumption.INVALID_TOKEN),
        (failure(280), BY_TIME, "reading", TIME, Resumption.INVALID_TOKEN),
        (failure(260), WITH_TOKEN, "opening", None, Resumption.BY_TIME),
        (failure(260), BY_TIME, "opening", None, Resumption.INVALID_TOKEN),
        (failure(50811), WITH_TOKEN, "opening", None, Resumption.BY_TIME),
        (failure(51057), WITH_TOKEN, "opening", None, Resumption.BY_TIME),  # not documented, but seen
    ],
)
def test_every_fault_has_one_way_on(
    error: Exception, position: StreamPosition, phase: Phase, tried: Timestamp | None, expected: Resumption
) -> None:
    """Faults 15, 23 to 27: a token's time is tried once, and only at the place it belongs to."""
    assert resumption(error, position, phase, tried) is expected


@pytest.mark.parametrize(
    ("error", "position", "phase", "tried", "expected"),
    [
        (failure(13), WITH_TOKEN, "opening", None, DeploymentError),
        (failure(51057), WITH_TOKEN, "opening", TIME, OperationFailure),
        (failure(51057), BY_TIME, "opening", None, OperationFailure),
        (failure(51057), WITH_TOKEN, "reading", None, OperationFailure),
        (failure(10334), WITH_TOKEN, "reading", None, MtriggerError),
        (InvalidBSON("bad"), WITH_TOKEN, "reading", None, MtriggerError),
        (ValueError("a mistake of ours"), WITH_TOKEN, "opening", None, ValueError),
    ],
)
def test_what_nothing_would_mend_is_raised(
    error: Exception,
    position: StreamPosition,
    phase: Phase,
    tried: Timestamp | None,
    expected: type[Exception],
) -> None:
    """An unknown error is never waited out, and never taken for a bad token once the stream has answered."""
    with pytest.raises(expected):
        resumption(error, position, phase, tried)


@pytest.mark.parametrize(
    ("token", "kept"),
    [
        ({"_data": token_at(7)}, True),
        ({"_data": token_at(8)}, False),
        ({"_data": "83" + token_at(7)[2:]}, False),
        ({"_data": "82ZZ"}, False),
        ({"_data": "82" + "Z" * 20}, False),
        ({"_data": ""}, False),
        (None, True),
    ],
)
def test_a_token_that_does_not_belong_to_its_time_is_not_used(token: Any, kept: bool) -> None:
    """Fault 27: with one wrong bit it could open in the future, and wait there in silence."""
    position = starting_position(Checkpoint("main/0", token, TIME, "set:test", "abc", NOW))
    assert position == (StreamPosition(token, TIME, "abc") if kept else BY_TIME)
