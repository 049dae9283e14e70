"""The keys of a source file, as pydantic models: what is allowed, and the JSON Schema that editors use."""

import re
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from mtrigger.config_types import Count, Duration, Flag, OneOrMore, Timeout, one_collection
from mtrigger.loading.on_models import valid_name
from mtrigger.loading.quiet_models import Zone
from mtrigger.messages import name_mistake
from mtrigger.sources.definition import Destination, Mode, Query, Source

TABLE = "{table}"
"""What stands for the table's name in the name of a collection or topic."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _not_empty(text: str) -> str:
    if not text.strip():
        raise ValueError("this is empty")
    return text


def _valid_into(name: str) -> str:
    if "*" in name:
        raise ValueError("rows go into one collection: write its name without `*`")
    one_collection(name.replace(TABLE, "t"))
    return name


def _valid_topic(name: str) -> str:
    filled = name.replace(TABLE, "t")
    if mistake := name_mistake(filled):
        raise ValueError(mistake.removeprefix(f"{filled!r} is "))
    return name


def _initial(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = str(value)
    try:
        return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("it is a whole number, or a time such as 2026-03-02T10:00") from None


Column = Annotated[str, Field(title="column"), AfterValidator(_not_empty)]


class From(_Model):
    """What is read."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["table"]}, {"required": ["query"]}]})

    sql: Annotated[str, AfterValidator(_not_empty)] = Field(
        description="The database, as an SQLAlchemy URL: `postgresql+psycopg://…`, `mysql+pymysql://…`, "
        "`oracle+oracledb://…`, `sqlite:///…`",
        examples=["${SOE_URL}"],
    )
    table: OneOrMore[Annotated[str, Field(title="table"), AfterValidator(_not_empty)]] | None = Field(
        default=None,
        description="`schema.table`, or a list of them; `*` is a wildcard: `soe.*`",
        examples=["soe.orders", ["soe.orders", "crm.*"]],
    )
    query: Annotated[str, AfterValidator(_not_empty)] | None = Field(
        default=None, description="Instead of `table`: a SELECT", examples=["SELECT * FROM soe.big_orders"]
    )
    mode: Mode = Field(
        description="How new rows are found: `bulk` reads all of them each time; `incrementing` those with a "
        "greater number; `timestamp` those with a later time; `timestamp+incrementing` by both; `snapshot` "
        "reads all and stores what has changed or is gone"
    )
    incrementing: Column | None = Field(default=None, description="The column with a number that only grows")
    timestamp: OneOrMore[Column] = Field(
        default=(),
        description="The column with the time of the last change; of a list, the first that is not null "
        "counts",
        examples=["updated_at", ["updated_at", "created_at"]],
    )
    initial: Annotated[datetime | int | None, BeforeValidator(_initial, json_schema_input_type=int | str)] = (
        Field(
            default=None, description="Begin behind this number, or at this time; left out: with all there is"
        )
    )
    poll: Timeout = Field(default=5.0, description="How long to wait before looking for new rows again")
    delay: Duration = Field(
        default=5.0,
        description="Rows younger than this, by the clock of the database, wait, so that what is committed "
        "late is not passed over",
    )
    batch: Count = Field(default=1000, description="So many rows are read at once")
    timezone: Zone = Field(
        default="UTC", description="Times without a zone are in this IANA time zone", examples=["Asia/Seoul"]
    )
    deleted: Column | None = Field(
        default=None,
        description="A row in which this column holds neither null, false nor 0 has been deleted",
    )


class Into(_Model):
    """Where rows go."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["collection"]}, {"required": ["topic"]}]}
    )

    collection: Annotated[str, AfterValidator(_valid_into)] | None = Field(
        default=None,
        description="`database.collection`, where rows are upserted; `{table}` is the table's name",
        examples=["shop.orders", "shop.{table}"],
    )
    topic: Annotated[str, AfterValidator(_valid_topic)] | None = Field(
        default=None,
        description="Instead of `collection`: the topic that each new state of a row is published to",
        examples=["SOE-ORDERS"],
    )
    key: OneOrMore[Column] = Field(
        default=(),
        description="The column (or columns) that make the `_id`, or the message's key; left out: the "
        "table's primary key",
        examples=["order_id"],
    )


class SourceFile(_Model):
    """One source."""

    name: Annotated[str, AfterValidator(valid_name)] | None = Field(
        default=None, description="What logs and positions call the source; left out: the file's name"
    )
    description: str = Field(default="", description="What the source is for, in a sentence")
    enabled: Flag = Field(default=True, description="`false`: the source is checked, and reads nothing")
    from_: From = Field(alias="from", description="What is read, and how new rows are found")
    into: Into = Field(description="Where rows go")

    def source(self, name: str, file: str, url: str) -> Source:
        """The source as the rest of the program knows it; `url` is the completed one."""
        asked, zone = self.from_, ZoneInfo(self.from_.timezone)
        initial: Any = asked.initial
        if isinstance(initial, datetime) and initial.tzinfo is None:
            initial = initial.replace(tzinfo=zone)
        query = Query(
            url=url,
            tables=asked.table or (),
            query=asked.query or "",
            mode=asked.mode,
            incrementing=asked.incrementing or "",
            timestamps=asked.timestamp,
            initial=initial,
            poll=asked.poll,
            delay=asked.delay,
            batch=asked.batch,
            timezone=zone,
            deleted=asked.deleted or "",
        )
        into = Destination(self.into.collection or "", self.into.topic or "", self.into.key)
        return Source(name, query, into, self.description, self.enabled, file)
