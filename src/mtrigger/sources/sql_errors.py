"""What an error of a database means for a source: does it pass, or has somebody to do something.

Promise: no message holds the address, the password or the values of a statement.
"""

import re
from urllib.parse import quote_plus

import sqlalchemy as sa
from sqlalchemy import exc

from mtrigger.errors import ConnectionLostError, SourceError
from mtrigger.redaction import brief

_PASSING_STATES = ("08", "40", "53", "55P03", "57P", "57014", "58")
"""SQLSTATEs of PostgreSQL, by how they begin: connections, deadlocks, resources, locks, shutdown, a statement
that was cancelled, input and output."""

_PASSING_NUMBERS = frozenset({1040, 1053, 1129, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1927, 1969})
"""Errors of MySQL and MariaDB: too many connections, shutdown, the network, locks, killed, a time limit."""

_PASSING_CODES = re.compile(
    r"\b(ORA-(00018|00020|00028|00054|00060|01013|01033|01034|01089|01090|01092|01555|02391|02396|03113|03114"
    r"|03135|04036|12[15]\d\d|12170|25408)|DPY-(1001|4011|4024|6000|6001|6005))\b"
)
"""Errors of Oracle and its driver: sessions, locks, start and shutdown, a snapshot too old, the network."""

_PASSING_TEXTS = re.compile(r"(?i)database (table )?is locked|disk i/o error")

_REFUSED = re.compile(
    r"(?i)authentication failed|access denied|does not exist|unknown database|no pg_hba\.conf entry"
    r"|no password supplied|invalid (username|credential)"
)
"""A server that was reached and does not let us in: trying again would not help."""


def error_of(error: exc.SQLAlchemyError, url: sa.URL, where: str) -> SourceError | ConnectionLostError:
    """What to raise in the place of `error`, which happened at `where` (a table, or "connecting")."""
    text = f"{where}: {_text(error, url)}"
    return ConnectionLostError(text) if _passes(error) else SourceError(text)


def _passes(error: exc.SQLAlchemyError) -> bool:
    if isinstance(error, exc.TimeoutError):
        return True
    if not isinstance(error, exc.DBAPIError):
        return False
    original = error.orig
    state = getattr(original, "sqlstate", None)
    if state:
        return str(state).startswith(_PASSING_STATES)
    number = next(iter(getattr(original, "args", ())), None)
    text = str(original)
    if isinstance(number, int) and number in _PASSING_NUMBERS:
        return True
    if _PASSING_CODES.search(text) or _PASSING_TEXTS.search(text) or error.connection_invalidated:
        return True
    return _connecting_failed(error, number) and not _REFUSED.search(text)


def _connecting_failed(error: exc.DBAPIError, number: object) -> bool:
    """An error of a connection that was never made: it comes without a statement."""
    return number in (2002, 2003, 2006, 2013) or (error.statement is None and error.orig is not None)


def _text(error: exc.SQLAlchemyError, url: sa.URL) -> str:
    """The first line of what the database says."""
    original: BaseException = error
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        original = error.orig
    arguments = original.args
    if len(arguments) == 2 and isinstance(arguments[0], int):  # MySQL: a number and the text
        text = f"{arguments[1]} (error {arguments[0]})"
    else:
        text = str(original)
    first = next((line for line in text.splitlines() if line.strip()), type(original).__name__)
    password = str(url.password or "")
    for secret in (password, quote_plus(password)):
        if secret:
            first = first.replace(secret, "***")
    return brief(Exception(first))
