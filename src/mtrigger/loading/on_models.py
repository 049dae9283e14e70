"""The keys of `on:`, as pydantic models: which events a rule wants, and where they come from."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mtrigger.config_types import Count, Flag, OneOrMore, one_collection, valid_collection
from mtrigger.loading.quiet_models import Cron, Paths, Zone, valid_path
from mtrigger.messages import name_mistake
from mtrigger.quiet import CatchUp
from mtrigger.rules import Operation
from mtrigger.topics.starts import parse_start

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


def valid_name(name: str) -> str:
    """`name` if it can name a rule. Raises ValueError with what a name may hold."""
    if not _NAME.fullmatch(name):
        raise ValueError("a rule's name is 1 to 100 letters, digits, `.`, `_` or `-`, without spaces")
    return name


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Collection = Annotated[str, Field(title="collection"), AfterValidator(valid_collection)]


class OnDefaults(_Model):
    """Which events a rule wants."""

    collection: OneOrMore[Collection] | None = Field(
        default=None,
        description="`database.collection`, or a list of them; `*` is a wildcard: `shop.*`, `*.orders`",
        examples=["shop.orders", ["shop.orders", "archive.*"]],
    )
    operations: OneOrMore[Operation] = Field(
        default=("insert", "update"), description="Which kinds of change; `update` includes `replace`"
    )
    fields: Paths = Field(
        default=(),
        description="Only updates that touch one of these paths (inserts, replaces and deletes always count)",
        examples=["amount", ["amount", "customer.id"]],
    )


def _one_collection(name: str) -> str:
    if "*" in name:
        raise ValueError("a query reads one collection: write its name without `*`")
    return one_collection(name)


def _valid_order(text: str) -> str:
    valid_path(text.removeprefix("-"))
    return text


def _valid_topic(name: str) -> str:
    if mistake := name_mistake(name):
        raise ValueError(mistake)
    return name


def _valid_group(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("a group's name is 1 to 100 letters, digits, `.`, `_` or `-`, without spaces")
    return name


def _valid_start(text: str) -> str:
    parse_start(text)
    return text


class Query(_Model):
    """What a scheduled rule looks up: templates see it as `documents`."""

    collection: Annotated[str, Field(title="collection"), AfterValidator(_one_collection)] = Field(
        description="`database.collection`, without wildcards", examples=["shop.orders"]
    )
    where: Any = Field(
        default=None,
        description="Which documents: an expression, in which now() is the scheduled time, or a MongoDB "
        "filter; left out: all",
        examples=['amount > 10000 and created_at >= now() - duration("1d")'],
    )
    sort: OneOrMore[Annotated[str, Field(title="path"), AfterValidator(_valid_order)]] = Field(
        default=(), description="By which fields; `-` before one: descending", examples=["-amount"]
    )
    limit: Count = Field(default=1_000, description="So many documents are listed at most; all are counted")
    pipeline: tuple[dict[str, Any], ...] = Field(
        default=(), description="Instead of `where` and `sort`: the stages of an aggregation"
    )


class On(OnDefaults):
    """Which events a rule wants: changes in collections, dead letters, times, or the messages of a topic."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": [key]} for key in ("collection", "dead_letters", "schedule", "topic")]
        }
    )

    dead_letters: Flag = Field(
        default=False, description="`true`: the rule fires for deliveries that die, instead of for changes"
    )
    rules: OneOrMore[Annotated[str, Field(title="rule name"), AfterValidator(valid_name)]] = Field(
        default=(),
        description="With `dead_letters`: only for deliveries of these rules (default: of every rule)",
    )
    schedule: Cron | None = Field(
        default=None,
        description="The rule fires at the times of this cron expression: minute, hour, day of month, month, "
        "day of week; six fields begin with the second",
        examples=["0 9 * * mon-fri"],
    )
    timezone: Zone = Field(
        default="UTC", description="With `schedule`: an IANA time zone, such as Asia/Seoul"
    )
    catch_up: CatchUp = Field(
        default="last",
        description="With `schedule`: which of the times are made up for that passed while nothing ran",
    )
    query: Query | None = Field(
        default=None, description="With `schedule`: the documents that the actions are to tell of"
    )
    topic: Annotated[str, Field(title="topic"), AfterValidator(_valid_topic)] | None = Field(
        default=None, description="The rule fires for the messages of this topic", examples=["BIZ-BIGORDER"]
    )
    group: Annotated[str, AfterValidator(_valid_group)] | None = Field(
        default=None,
        description="With `topic`: rules of one group share a position in the topic, other groups have their "
        "own; left out: the rule's name",
    )
    from_: Annotated[str, AfterValidator(_valid_start)] = Field(
        default="beginning",
        alias="from",
        description="With `topic`: where a new group begins: `beginning`, `now`, a time, `after:ID` or "
        "`offset:N`",
    )
