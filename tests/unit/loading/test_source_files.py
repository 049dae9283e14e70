"""Source files: what they mean, and every way to write them wrong, all at once and with their places."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from mtrigger.errors import RulesError, SettingsError
from mtrigger.loading.source_files import load_sources
from mtrigger.sources.definition import Destination, Source

FROM = "from: {sql: 'sqlite:///soe.db', table: orders, mode: bulk}\n"
INTO = "into: {collection: shop.orders}\n"


def one(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Source:
    """The one source of a file with this text."""
    (folder / "orders.yaml").write_text(text)
    (source,) = load_sources(folder, environ or {}).sources
    return source


def mistakes(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """The mistakes of a file with this text, without the file's name."""
    (folder / "orders.yaml").write_text(text)
    with pytest.raises(RulesError) as raised:
        load_sources(folder, environ or {})
    return [str(mistake).partition("orders.yaml:")[2] for mistake in raised.value.mistakes]


def test_the_smallest_source(tmp_path: Path) -> None:
    """Its name is its file's; it looks every five seconds and waits as long for late commits."""
    source = one(tmp_path, FROM + INTO)
    assert (source.name, source.enabled, source.destination) == ("orders", True, Destination("shop.orders"))
    query = source.query
    assert (query.url, query.tables, query.mode) == ("sqlite+pysqlite:///soe.db", ("orders",), "bulk")
    assert (query.poll, query.delay, query.batch, query.timezone) == (5.0, 5.0, 1000, ZoneInfo("UTC"))


def test_everything_a_source_can_say(tmp_path: Path) -> None:
    """A time without a zone is in the source's own."""
    source = one(
        tmp_path,
        """
name: soe-orders
description: Orders of the old shop
enabled: false
from:
  sql: ${SOE_URL}
  table: [soe.orders, "crm.*"]
  mode: timestamp+incrementing
  incrementing: order_id
  timestamp: [updated_at, created_at]
  initial: 2026-03-02T10:00
  poll: 1m
  delay: 0s
  batch: 50
  timezone: Asia/Seoul
  deleted: is_gone
into:
  topic: SOE-{table}
  key: [region, order_id]
""",
        {"SOE_URL": "postgresql://soe:tiger@db.example/soe"},
    )
    assert source.query.url == "postgresql+psycopg://soe:tiger@db.example/soe"
    assert (source.name, source.enabled) == ("soe-orders", False)
    assert source.destination == Destination("", "SOE-{table}", ("region", "order_id"))
    query = source.query
    assert (query.incrementing, query.timestamps) == ("order_id", ("updated_at", "created_at"))
    assert isinstance(query.initial, datetime)
    assert query.initial.utcoffset() == timedelta(hours=9)
    assert query.initial == datetime(2026, 3, 2, 1, tzinfo=UTC)
    assert (query.poll, query.delay, query.batch, query.deleted) == (60.0, 0.0, 50, "is_gone")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (INTO, ["1:1: `from` is missing"]),
        (FROM, ["1:1: `into` is missing"]),
        (FROM + "into: {}", ["2:1: `into.collection` is missing (or `topic`)"]),
        (
            FROM + "into: {collection: shop.orders, topic: ORDERS}",
            ["2:33: `collection` is there too; keep one of them"],
        ),
        (FROM + "into: {collection: orders}", ["2:20: `orders`: write it as database.collection"]),
        (FROM + "into: {collection: 'shop.*'}", ["2:20: `shop.*`: rows go into one collection: write its"]),
        (
            FROM + "into: {topic: a b}",
            ["2:15: `a b`: no name of a topic: letters, digits, "],
        ),
        (FROM + "into: {colection: a.b}", ["2:8: unknown key `colection`; did you mean `collection`?"]),
        (
            INTO + "from: {sql: 'sqlite://', mode: bulk}",
            ["2:1: `from.table` is missing (or `query`)"],
        ),
        (
            INTO + "from: {sql: 'sqlite://', table: t, query: SELECT 1, mode: bulk}",
            ["1:1: `into.key` is missing: a query has no", "2:36: `table` is there too; keep one of them"],
        ),
        (
            "into: {topic: T, key: a}\nfrom: {sql: 'sqlite://', query: DELETE FROM t, mode: bulk}",
            ["2:33: a query begins with SELECT (or WITH)"],
        ),
        (INTO + "from: {sql: 'sqlite://', table: t}", ["2:1: `from.mode` is missing"]),
        (
            INTO + "from: {sql: 'sqlite://', table: t, mode: incremental}",
            ["2:42: `incremental` is not known here; did you mean `incrementing`?"],
        ),
        (
            INTO + "from: {sql: 'sqlite://', table: t, mode: timestamp+incrementing}",
            [
                "2:42: the mode `timestamp+incrementing` needs `incrementing`",
                "2:42: the mode `timestamp+incrementing` needs `timestamp`",
            ],
        ),
        (
            INTO + "from: {sql: 'sqlite://', table: t, mode: bulk, incrementing: id, delay: 1s}",
            [
                "2:48: `incrementing` means nothing with `mode: bulk`; leave it out (it is for inc",
                "2:66: `delay` means nothing with `mode: bulk`; leave it out",
            ],
        ),
        (
            INTO
            + "from: {sql: 'sqlite://', table: t, mode: incrementing, incrementing: id, initial: 2026-01-01}",
            ["2:83: with `mode: incrementing`, `initial` is a whole number"],
        ),
        (
            INTO + "from: {sql: 'sqlite://', table: t, mode: timestamp, timestamp: at, initial: soon}",
            ["2:77: `soon`: it is a whole number, or a time such as"],
        ),
        (INTO + "from: {sql: '', table: t, mode: bulk}", ["2:13: empty: this is empty"]),
        (
            INTO + "from: {sql: shop, table: t, mode: bulk}",
            ["2:13: this is no address of a database: write it as postgresql://user:password@host/database"],
        ),
        (
            INTO + "from: {sql: 'postgesql://h/d', table: t, mode: bulk}",
            ["2:13: sources cannot read `postgesql`; did you mean `postgresql`?"],
        ),
        (
            INTO + "from: {sql: 'mysql+pymsql://h/d', table: t, mode: bulk}",
            ["2:13: the driver `pymsql` is not known for mysql; did you mean `pymysql`?"],
        ),
        (
            INTO + "from: {sql: 'postgresql+pg8000://h/d', table: t, mode: bulk}",
            ["2:13: the driver `pg8000` is not installed: pip install pg8000"],
        ),
        (
            INTO + "from: {sql: 'mysql://u:p@h:port/d', table: t, mode: bulk}",
            ["2:13: this address cannot be read; in a password, write @ as %40"],
        ),
        ("just text", ["1:1: `key: value` lines are expected here (name, from, into)"]),
        ("", ["1:1: the file holds no source"]),
        (
            f"{FROM}{INTO}---\n{FROM}{INTO}",
            ["1:1: `name` is missing; only a source alone", "4:1: `name` is m"],
        ),
        (
            f"name: a\n{FROM}{INTO}---\nname: a\n{FROM}{INTO}",
            ["5:7: there is another source `a`, in "],
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, expected: list[str]) -> None:
    """And what to do about it; the whole list, not its first line."""
    found = mistakes(tmp_path, text)
    assert len(found) == len(expected), found
    for mistake, beginning in zip(found, expected, strict=True):
        assert mistake.startswith(beginning), found


def test_a_query_by_a_number_needs_no_key(tmp_path: Path) -> None:
    """The number is one."""
    text = "from: {sql: 'sqlite://', query: SELECT 1 AS n, mode: incrementing, incrementing: n}\n"
    assert one(tmp_path, text + INTO).destination.key == ()


def test_a_secret_in_an_address_is_never_shown(tmp_path: Path) -> None:
    """Neither where it is wrong nor in what a source shows of itself."""
    for url in ("mysql://u:s3cret@h:x/d", "mysql://u:a@s3cret@h/d", "postgresql://u:a@b/s3cret@h/d"):
        (said,) = mistakes(tmp_path, f"{INTO}from: {{sql: '${{U}}', table: t, mode: bulk}}", {"U": url})
        assert "in a password, write @ as %40" in said
        assert "s3cret" not in said
    source = one(
        tmp_path, f"{INTO}from: {{sql: '${{U}}', table: t, mode: bulk}}", {"U": "mysql://u:s3cret@h/d"}
    )
    assert "s3cret" not in repr(source)


def test_mistakes_of_all_files_are_reported_together(tmp_path: Path) -> None:
    """In sub-folders too; hidden files are no sources."""
    (tmp_path / "more").mkdir()
    (tmp_path / "a.yaml").write_text("into: 1\n")
    (tmp_path / "more" / "b.yml").write_text("{")
    (tmp_path / ".hidden.yaml").write_text("{")
    with pytest.raises(RulesError) as raised:
        load_sources(tmp_path, {})
    assert {Path(mistake.file).name for mistake in raised.value.mistakes} == {"a.yaml", "b.yml"}


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    """A folder that is not there, and one without a source."""
    with pytest.raises(SettingsError, match="there are no sources at"):
        load_sources(tmp_path / "sources", {})
    with pytest.raises(SettingsError, match="there is no source in"):
        load_sources(tmp_path, {})
