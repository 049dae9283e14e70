"""Which errors of databases pass; and that none tells a secret."""

import pytest
import sqlalchemy as sa
from sqlalchemy import exc

from mtrigger.errors import ConnectionLostError, SourceError
from mtrigger.sources.sql_errors import error_of

URL = sa.make_url("postgresql+psycopg://soe:se%2Fcret@db.example/soe")


class ServerError(Exception):
    """An error of a driver; `sqlstate` as psycopg has it."""

    def __init__(self, *arguments: object, sqlstate: str | None = None) -> None:
        super().__init__(*arguments)
        self.sqlstate = sqlstate


def told(original: Exception, statement: str | None = "SELECT 1") -> SourceError | ConnectionLostError:
    return error_of(exc.OperationalError(statement, {"p": "value"}, original), URL, "reading `soe.orders`")


@pytest.mark.parametrize(
    "original",
    [
        ServerError("terminating connection", sqlstate="57P01"),
        ServerError("too many clients", sqlstate="53300"),
        ServerError("deadlock detected", sqlstate="40P01"),
        ServerError(2013, "Lost connection to MySQL server during query"),
        ServerError(1205, "Lock wait timeout exceeded"),
        ServerError("ORA-01555: snapshot too old"),
        ServerError("DPY-4011: the database or network closed the connection"),
        ServerError("database is locked"),
    ],
    ids=str,
)
def test_these_pass(original: Exception) -> None:
    assert isinstance(told(original), ConnectionLostError)


@pytest.mark.parametrize(
    "original",
    [
        ServerError('column "a" does not exist', sqlstate="42703"),
        ServerError("permission denied for table orders", sqlstate="42501"),
        ServerError(1146, "Table 'soe.orders' doesn't exist"),
        ServerError("ORA-00942: table or view does not exist"),
        ServerError("no such column: a"),
    ],
    ids=str,
)
def test_these_need_somebody(original: Exception) -> None:
    assert isinstance(told(original), SourceError)


@pytest.mark.parametrize(
    ("original", "passes"),
    [
        (ServerError("connection refused"), True),
        (ServerError('password authentication failed for user "soe"'), False),
        (ServerError(1045, "Access denied for user 'soe'"), False),
        (ServerError('database "soe" does not exist'), False),
    ],
    ids=str,
)
def test_who_is_refused_need_not_try_again(original: Exception, passes: bool) -> None:
    assert isinstance(told(original, statement=None), ConnectionLostError) is passes


def test_a_message_is_one_line_without_secrets() -> None:
    original = ServerError("cannot reach postgresql://soe:se/cret@db.example\nwith se%2Fcret or se/cret")
    assert str(told(original)) == "reading `soe.orders`: cannot reach postgresql://soe:***@db.example"
