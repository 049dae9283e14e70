"""The keys of a rule file, as pydantic models: what is allowed, and the JSON Schema that editors use.

`when` and the entries of `do` have languages of their own and are read in `loading.compiling`.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mtrigger.config_types import Count, Duration, Flag, OneOrMore, Timeout, format_duration
from mtrigger.loading.on_models import On, OnDefaults, valid_name
from mtrigger.loading.quiet_models import Absent, Active, Counting, Digest, LoopGuard, Throttle
from mtrigger.quiet import Fire
from mtrigger.retry import RetryPolicy
from mtrigger.rules import Operation, Ordering

_POLICY = RetryPolicy()


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Retry(_Model):
    """When a failed action is tried again, and when it is given up."""

    attempts: Count = Field(default=_POLICY.attempts, description="All attempts, the first one included")
    first_delay: Duration = Field(default=_POLICY.first_delay, description="Upper bound of the first wait")
    max_delay: Duration = Field(default=_POLICY.max_delay, description="Upper bound of every wait")
    max_age: Timeout = Field(default=_POLICY.max_age, description="Given up when older than this")

    @model_validator(mode="after")
    def _first_is_shorter(self) -> "Retry":
        if self.first_delay > self.max_delay:
            raise ValueError(
                f"first_delay is longer than max_delay ({format_duration(self.max_delay)}); change one"
            )
        return self

    def policy(self) -> RetryPolicy:
        """The same as the engine's own value."""
        return RetryPolicy(self.attempts, self.first_delay, self.max_delay, self.max_age)


def _valid_time(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a time is written as 2026-03-02T10:00 or 2026-03-02T10:00+09:00") from None
    return text


class Test(_Model):
    """An example of what happens, and what the rule makes of it."""

    given: dict[str, Any] | list[dict[str, Any]] = Field(
        description="The document after the change, or a list of them: one change each, the last one counts; "
        "Extended JSON for BSON types. Of a rule of a topic: the message's body, one message each"
    )
    key: Any = Field(default=None, description="With `on.topic`: the message's key")
    headers: dict[str, Any] = Field(
        default_factory=dict, description="With `on.topic`: the message's headers"
    )
    before: dict[str, Any] | None = Field(default=None, description="The document before the change")
    operation: Operation = Field(default="insert", description="Which kind of change it is")
    times: Count = Field(default=1, description="It happens so many times; the last time counts")
    apart: Timeout = Field(default=1.0, description="The time between two changes")
    at: Annotated[str, AfterValidator(_valid_time)] | None = Field(
        default=None,
        description="When the last one happens (by the clocks of the rule's `active.timezone`, else UTC); "
        "left out: now, and within the rule's active hours",
    )
    after: Duration = Field(default=0.0, description="It is looked at so long after it happened")
    renders: OneOrMore[str] = Field(default=(), description="Texts that the mail (or request) must hold")
    expect: Literal["fires", "ignored", "suppressed", "held", "resolves"] = Field(
        description="`fires`; `ignored`: the rule does not want it; `suppressed`: left out, by a throttle "
        "for instance; `held`: it waits, for the active hours for instance; `resolves`: what it fired for is "
        "over"
    )


class Shared(_Model):
    """The keys that a rule and `_defaults.yaml` have in common."""

    enabled: Flag = Field(default=True, description="`false`: the rule is checked, and does nothing")
    ordering: Ordering = Field(
        default="document",
        description="What waits while a delivery is retried: its document, the whole rule, nothing",
    )
    retry: Retry = Field(
        default_factory=Retry, description="When a failed action is tried again, and when it is given up"
    )
    concurrency: Count | None = Field(
        default=None,
        description="How many attempts of the rule may run at the same time, all its actions together; "
        "left out: as many as its actions may have",
    )
    throttle: Throttle | None = Field(default=None, description="At most one successful send in a time")
    active: Active | None = Field(default=None, description="The days and hours the rule speaks in")
    max_age: Timeout | None = Field(
        default=None, description="Changes older than this, after a long stop for instance, are left out"
    )
    loop_guard: LoopGuard = Field(
        default_factory=LoopGuard, description="When a rule that keeps itself busy is paused"
    )


class RuleFile(Shared):
    """One rule."""

    name: Annotated[str, AfterValidator(valid_name)] | None = Field(
        default=None, description="What logs and deliveries call the rule; left out: the file's name"
    )
    description: str = Field(default="", description="What the rule is for, in a sentence")
    on: On = Field(description="Which events the rule wants: changes, dead letters, times, or messages")
    when: Any = Field(
        default=None,
        description="An expression, or a MongoDB filter; left out: every event counts",
        examples=["amount > 10000"],
    )
    fire: Fire = Field(
        default="always",
        description="`always`; `once` for each document; `entering`: the condition did not hold before",
    )
    count: Counting | None = Field(default=None, description="Fire for so many within a time")
    digest: Digest | None = Field(default=None, description="Gather what is owed, and send it together")
    absent: Absent | None = Field(default=None, description="Fire when nothing has come")
    resolved: Any = Field(
        default=None,
        description="The actions for when the condition no longer holds for a document the rule fired for",
    )
    do: Any = Field(description="The actions: a list of `kind: settings`, or one alone")
    tests: tuple[Test, ...] = Field(default=(), description="Examples that `mtrigger test` checks")


class Defaults(Shared):
    """The file `_defaults.yaml`: what the rules of its folder do not say themselves."""

    on: OnDefaults = Field(default_factory=OnDefaults, description="Which changes rules want")
    actions: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Settings of every action of a kind: `{email: {from: …}}`"
    )
    channels: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Actions with settings, by names that `do` may use: `{sales: {email: {to: …}}}`",
    )
