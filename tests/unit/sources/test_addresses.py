"""Addresses of databases: what can be read, and that mistakes tell no secret."""

from pathlib import Path

import pytest

from mtrigger.errors import SettingsError, SourceError
from mtrigger.sources.database import readable_url
from mtrigger.sources.definition import Destination, Query, Source
from mtrigger.sources.sql_tables import open_tables


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://u:p@h/d", "postgresql+psycopg"),
        ("mysql://u:p@h/d", "mysql+pymysql"),
        ("mariadb+pymysql://u:p@h/d", "mariadb+pymysql"),
        ("oracle://u:p@h/?service_name=s", "oracle+oracledb"),
        ("sqlite:///x.db", "sqlite+pysqlite"),
    ],
)
def test_a_driver_need_not_be_named(url: str, driver: str) -> None:
    assert readable_url(url).drivername == driver


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("u:geheim@h/d", "cannot be read"),
        ("mssql://u:geheim@h/d", "`mssql` is no database that sources can read"),
        ("postgresql+asyncpg://u:geheim@h/d", "reads? postgresql with `psycopg`, not with `asyncpg`"),
    ],
)
def test_what_cannot_be_read_is_told_without_the_address(url: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as caught:
        readable_url(url)
    assert "geheim" not in str(caught.value)


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    file = tmp_path / "gone.db"
    tables = open_tables(
        Source("s", Query(f"sqlite:///{file}", tables=("orders",)), Destination(collection="a.b"))
    )
    with pytest.raises(SourceError, match=r"there is no database file .*gone\.db"):
        next(tables.pages("orders", {}))
    tables.close()
    assert not file.exists()
