"""What PostgreSQL knows and Python does not: times that are infinite or before Christ, 24:00:00, months.

Promise: one such value rejects its row, and not the page it stands on; the driver alone would give up the
whole result.
"""

from typing import Any

import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format

from mtrigger.sources.values import Unreadable

_LOADED_WITH_CARE = ("date", "timestamp", "timestamptz", "json", "jsonb")

_LEFT_AS_TEXT = ("interval", "time", "timetz")


def register(connection: "psycopg.Connection[Any]") -> None:
    """Let this connection read every value."""
    for name in _LOADED_WITH_CARE:
        connection.adapters.register_loader(name, _careful(connection, name))
    for name in _LEFT_AS_TEXT:
        connection.adapters.register_loader(name, _TextLoader)


class _TextLoader(Loader):
    """The text that the server shows."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode()


def _careful(connection: "psycopg.Connection[Any]", name: str) -> type[Loader]:
    usual: Any = connection.adapters.get_loader(psycopg.postgres.types[name].oid, Format.TEXT)

    class CarefulLoader(Loader):
        """The usual one, or the text that it could not read."""

        def __init__(self, oid: int, context: Any = None) -> None:
            super().__init__(oid, context)
            self._load = usual(oid, context).load

        def load(self, data: Buffer) -> Any:
            try:
                return self._load(data)
            except (psycopg.DataError, ValueError, RecursionError):
                return Unreadable(bytes(data).decode("utf-8", "backslashreplace"))

    return CarefulLoader
