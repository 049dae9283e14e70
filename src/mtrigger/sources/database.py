"""A connection to a relational database: opening it, its clock, reading results bit by bit.

Promises: whatever goes wrong comes out as SourceError or ConnectionLostError, without secrets; however many
rows a statement finds, memory holds a few pages of them; a result that nobody reads to its end costs nothing.
"""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from mtrigger.errors import SettingsError, SourceError
from mtrigger.sources.dialects import DIALECTS, Dialect
from mtrigger.sources.portions import Raw
from mtrigger.sources.sql_errors import error_of


class Database:
    """One database. It is used in one thread, and holds one connection, or two for a moment."""

    def __init__(self, url: str) -> None:
        """Connects to nothing yet. Raises SettingsError for an address that nothing here can read."""
        self._url = readable_url(url)
        self.dialect: Dialect = DIALECTS[self._url.get_backend_name()]
        arguments = {
            name: value for name, value in self.dialect.arguments.items() if name not in self._url.query
        }
        self._engine = sa.create_engine(
            self._url,
            connect_args=arguments,
            hide_parameters=True,
            pool_size=1,
            max_overflow=1,
            pool_pre_ping=True,
            poolclass=sa.QueuePool,
        )
        event.listen(self._engine, "connect", _session_setup(self.dialect))

    def normalized(self, name: str) -> str:
        """A column's name as SQLAlchemy has it: Oracle's capital letters are small ones."""
        dialect = self._engine.dialect
        return str(dialect.normalize_name(name)) if dialect.requires_name_normalize else name

    @contextmanager
    def connected(self, where: str) -> Iterator[sa.Connection]:
        """A connection for a moment, in a transaction of its own. Errors tell of `where`."""
        with self.told(where):
            self._check_file()
            with self._engine.connect() as connection:
                yield connection

    @contextmanager
    def told(self, where: str) -> Iterator[None]:
        """What the database raises inside becomes an error of a source."""
        try:
            yield
        except exc.SQLAlchemyError as error:
            raise error_of(error, self._url, where) from None
        except UnicodeDecodeError as error:
            raise SourceError(f"{where}: text that is not in the encoding of the database") from error

    def now(self, connection: sa.Connection) -> datetime:
        """The time of the database in UTC, without a zone."""
        value = connection.execute(sa.text(self.dialect.clock)).scalar_one()
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return found.replace(tzinfo=None)

    @contextmanager
    def reading(
        self, connection: sa.Connection, statement: sa.Select[Any], batch: int
    ) -> Iterator[tuple[Sequence[Any], Iterator[list[Raw]]]]:
        """What a statement finds: its description (see DB-API 2.0), and its rows in portions of `batch`. One
        that is shorter is the last. One that is not read to its end may cost the connection."""
        result = connection.execution_options(yield_per=batch).execute(statement)
        try:
            yield _description(result), _portions(result, batch)
        except BaseException:
            if _left_unread(result):
                connection.invalidate()
            raise
        finally:
            result.close()

    def description(self, connection: sa.Connection, statement: sa.Select[Any]) -> Sequence[Any]:
        """The columns of what a statement finds, which is nothing."""
        with connection.execute(statement) as result:
            return _description(result)

    def inspector(self, connection: sa.Connection) -> sa.Inspector:
        """The catalogue as it is now."""
        return sa.inspect(connection)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def _check_file(self) -> None:
        """SQLite would make a file that is not there."""
        name = self._url.database or ""
        is_file = (
            self.dialect.name == "sqlite" and name not in ("", ":memory:") and not name.startswith("file:")
        )
        if is_file and not Path(name).exists():
            raise SourceError(f"there is no database file {name}")


def readable_url(url: str) -> sa.URL:
    """An address by its parts, with the driver that is meant when it names none. Raises SettingsError,
    without the address, which is a secret."""
    try:
        parts = sa.make_url(url)
    except exc.ArgumentError as error:
        raise SettingsError(
            "the address of the database cannot be read: it looks like "
            "postgresql+psycopg://user:password@host/name"
        ) from error
    dialect = DIALECTS.get(parts.get_backend_name())
    if dialect is None:
        known = ", ".join(sorted(DIALECTS))
        raise SettingsError(f"`{parts.get_backend_name()}` is no database that sources can read: {known}")
    if "+" not in parts.drivername:
        parts = parts.set(drivername=f"{parts.get_backend_name()}+{dialect.driver}")
    driver = parts.get_driver_name()
    if driver != dialect.driver:
        raise SettingsError(f"sources read {dialect.name} with `{dialect.driver}`, not with `{driver}`")
    if dialect.package and importlib.util.find_spec(dialect.driver) is None:
        raise SettingsError(f"the driver {dialect.package} is not installed: pip install 'mtrigger[sql]'")
    return parts


def _session_setup(dialect: Dialect) -> Callable[[Any, Any], None]:
    def set_up(connection: Any, _record: Any) -> None:
        if dialect.name == "postgresql":
            from mtrigger.sources.postgresql_values import register

            register(connection)
        elif dialect.name == "sqlite":
            connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        cursor = connection.cursor()
        for statement in dialect.session:
            cursor.execute(statement)
        cursor.close()
        connection.commit()

    return set_up


def _left_unread(result: sa.CursorResult[Any]) -> bool:
    """Whether the rest of a result is on its way, and nobody wants it. PyMySQL would read all of it before
    closing, and fail to where the connection is gone: it must not know."""
    unread: Any = getattr(result.cursor, "_result", None)
    if not getattr(unread, "unbuffered_active", False):
        return False
    unread.unbuffered_active = False
    return True


def _description(result: sa.CursorResult[Any]) -> Sequence[Any]:
    assert result.cursor is not None
    return tuple(result.cursor.description)


def _portions(result: sa.CursorResult[Any], batch: int) -> Iterator[list[Raw]]:
    while True:
        portion: list[Raw] = list(result.fetchmany(batch))
        yield portion
        if len(portion) < batch:
            return
