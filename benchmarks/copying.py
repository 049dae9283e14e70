"""The loop that everybody writes to copy a table into a collection: read with SQLAlchemy, upsert in bulks.

It remembers nothing, sees no change and cannot be interrupted.

    python -m benchmarks.copying SQL_URL TABLE MONGODB_URI NAMESPACE
"""

import sys
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from bson.decimal128 import Decimal128
from pymongo import MongoClient, ReplaceOne

_AT_ONCE = 1_000


def copy(sql_url: str, table: str, uri: str, namespace: str) -> None:
    """Copy all rows, in the order in which a source reads them; `order_id` becomes `_id`."""
    database, _, collection = namespace.partition(".")
    engine = sa.create_engine(sql_url)
    statement = sa.text(f"SELECT * FROM {table} ORDER BY updated_at, order_id")
    with MongoClient[dict[str, Any]](uri) as client, engine.connect() as connection:
        into = client[database][collection]
        streamed = connection.execution_options(yield_per=_AT_ONCE).execute(statement)
        for rows in streamed.mappings().partitions():
            into.bulk_write([_replacement(dict(row)) for row in rows], ordered=False)
    engine.dispose()


def _replacement(row: dict[str, Any]) -> ReplaceOne[dict[str, Any]]:
    document = {name: _value(value) for name, value in row.items()}
    return ReplaceOne({"_id": row["order_id"]}, document, upsert=True)


def _value(value: Any) -> Any:
    return Decimal128(value) if isinstance(value, Decimal) else value


if __name__ == "__main__":
    copy(*sys.argv[1:])
