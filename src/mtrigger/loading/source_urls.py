"""The address of a source's database: which driver it asks for, and whether that is there.

Promise: no message holds any of the address but its scheme, because the rest may hold a password.
"""

from dataclasses import dataclass
from importlib.util import find_spec

from mtrigger.config_types import closest

_UNREADABLE = "this address cannot be read; in a password, write @ as %40, : as %3A and / as %2F"

_EXTRA = "pip install 'mtrigger[sql]'"


@dataclass(frozen=True, slots=True)
class _Dialect:
    """The driver that is used when none is named, and the modules that drivers are in."""

    driver: str
    modules: dict[str, str]


_DIALECTS = {
    "postgresql": _Dialect("psycopg", {"psycopg": "psycopg", "psycopg2": "psycopg2", "pg8000": "pg8000"}),
    "mysql": _Dialect("pymysql", {"pymysql": "pymysql", "mysqldb": "MySQLdb"}),
    "mariadb": _Dialect("pymysql", {"pymysql": "pymysql", "mysqldb": "MySQLdb"}),
    "oracle": _Dialect("oracledb", {"oracledb": "oracledb"}),
    "sqlite": _Dialect("pysqlite", {"pysqlite": "sqlite3"}),
}

_ALSO = {"postgres": "postgresql"}


def completed(url: str) -> str:
    """`url` with its driver: `postgresql://…` becomes `postgresql+psycopg://…`.

    Raises ValueError, with what to do, for one that is no address, names what cannot be read, or needs a
    package that is not there.
    """
    scheme, colon, rest = url.partition("://")
    if not colon:
        raise ValueError(
            "this is no address of a database: write it as postgresql://user:password@host/database"
        )
    name, _, driver = scheme.partition("+")
    name = _ALSO.get(name, name)
    dialect = _DIALECTS.get(name)
    if dialect is None:
        near = closest(name, _DIALECTS)
        hint = f"did you mean `{near}`?" if near else f"it is one of: {', '.join(_DIALECTS)}"
        raise ValueError(f"sources cannot read `{name}`; {hint}")
    driver = driver or dialect.driver
    if driver not in dialect.modules:
        near = closest(driver, dialect.modules)
        hint = f"did you mean `{near}`?" if near else f"it is one of: {', '.join(dialect.modules)}"
        raise ValueError(f"the driver `{driver}` is not known for {name}; {hint}")
    if find_spec("sqlalchemy") is None:
        raise ValueError(f"SQLAlchemy, which reads it, is not installed: {_EXTRA}")
    if find_spec(dialect.modules[driver]) is None:
        extra = _EXTRA if driver == dialect.driver else f"pip install {dialect.modules[driver]}"
        raise ValueError(f"the driver `{driver}` is not installed: {extra}")
    found = f"{name}+{driver}://{rest}"
    _refuse_unreadable(found)
    return found


def _refuse_unreadable(url: str) -> None:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        # What they say may quote the address.
        raise ValueError(_UNREADABLE) from None
    behind_password = url.partition("://")[2].partition(":")[2].partition("@")[2]
    if parts.password is not None and "@" in behind_password:
        # The rest of a password, taken for the host or the database: errors would show it.
        raise ValueError(_UNREADABLE)
