"""What a rule is: which events it wants, and what is owed for each of them.

Rules are frozen. They are made by `mtrigger.loading` from YAML and never change afterwards; a changed file
makes a new rule.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel

from mtrigger.conditions import Condition
from mtrigger.events import RESCAN
from mtrigger.quiet import (
    Absent,
    Active,
    Count,
    Digest,
    Fire,
    LoopGuard,
    Per,
    Schedule,
    Throttle,
    TopicSource,
)
from mtrigger.retry import RetryPolicy

Ordering = Literal["document", "rule", "none"]
Operation = Literal["insert", "update", "replace", "delete"]
ExampleOperation = Operation | Literal["dead_letter", "schedule", "message"]

CONCURRENCY = 32
"""Attempts of one action at the same time, unless its settings say otherwise."""

_SHOWN_BY_A_RESCAN = frozenset({"insert", "update", "replace"})


@dataclass(frozen=True)
class Collections:
    """The collections a rule watches: `db.collection`, with `*` for any run of characters but the dot
    between database and collection (`shop.*`, `*.orders`, `shop.orders_*`)."""

    patterns: tuple[str, ...]

    @property
    def exact(self) -> frozenset[str]:
        """The namespaces named in full."""
        return frozenset(pattern for pattern in self.patterns if "*" not in pattern)

    @property
    def wildcards(self) -> tuple[str, ...]:
        """The patterns with a `*`."""
        return tuple(pattern for pattern in self.patterns if "*" in pattern)

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return re.compile("|".join(_namespace_regex(pattern) for pattern in self.patterns), re.DOTALL)

    def include(self, namespace: str) -> bool:
        """Whether `namespace` ("db.collection") is one of them."""
        return self._regex.fullmatch(namespace) is not None


def database_regex(pattern: str) -> str:
    """The database part of a collection pattern as an unanchored regular expression that Python and MongoDB
    read alike. A `*` matches no dot (database names have none)."""
    return "[^.]*".join(re.escape(piece) for piece in pattern.split("*"))


def collection_regex(pattern: str) -> str:
    """The collection part of a collection pattern, likewise. A `*` matches dots too."""
    return ".*".join(re.escape(piece) for piece in pattern.split("*"))


def _namespace_regex(pattern: str) -> str:
    database, _, collection = pattern.partition(".")
    return rf"{database_regex(database)}\.{collection_regex(collection)}"


@dataclass(frozen=True, slots=True)
class RuleAction:
    """One entry of `do:`. `name` is unique within the rule: the kind, numbered from the second one on
    ("email", "email-2"), so that a delivery's id stays the same when other actions are added after it.
    `concurrency` is how many attempts of it may run at the same time. `reads` are the names it may read of
    what actions see (`document`, `before`, `changed`, …), None when it cannot be told. `writes` are the
    collections ("db.collection") that it writes to together with its outcome."""

    name: str
    kind: str
    config: BaseModel
    concurrency: int = CONCURRENCY
    reads: frozenset[str] | None = None
    writes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RuleTest:
    """One entry of `tests:`: what happens, and what the rule must make of the last of it.

    With the operation `schedule`, `given` is what the rule's query finds; with `message` it is the bodies of
    messages, all of them with `key` and `headers`. Otherwise:
    `given` are documents after a change (or dead letters), one event each, `times` times over, `apart`
    seconds from each other; `before` is the document before the change. The last one happens `at` that time
    (None: now, within the rule's active hours) and is looked at `after` so many seconds. `renders` are texts
    that the actions must hold then. `line` is where the example stands in the rule's file.
    """

    given: tuple[Mapping[str, Any], ...]
    before: Mapping[str, Any] | None
    operation: ExampleOperation
    expect: Literal["fires", "ignored", "suppressed", "held", "resolves"]
    line: int
    times: int = 1
    apart: float = 1.0
    after: float = 0.0
    at: datetime | None = None
    key: Any = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    renders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """A declarative rule, checked and compiled.

    `concurrency` is how many attempts of all its actions together may run at the same time, None for as many
    as these allow. `dead_letters_of` makes it a rule of dead letters: it names the rules whose dead
    deliveries it wants, all of them when it is empty. Such a rule has no collections, and `DEAD_LETTER` is
    its only operation.

    `max_age` (seconds) keeps it quiet about changes older than that. `resolved` are the actions owed when its
    condition no longer holds for a document that it fired for. With a `schedule` it has no collections: time
    is what it wants. With a `topic` it has none either: `MESSAGE` is its only operation, and all its paths
    lead into a message's document.

    `grouped_by` are the paths whose values put its deliveries into groups that are handled one after the
    other, None when the order is that of `ordering`; `is_gated` says whether anything but an operator can
    keep its deliveries back. Both follow from the others.
    """

    name: str
    collections: Collections
    actions: tuple[RuleAction, ...]
    description: str = ""
    enabled: bool = True
    operations: frozenset[str] = frozenset({"insert", "update", "replace"})
    fields: tuple[str, ...] = ()
    condition: Condition | None = None
    ordering: Ordering = "document"
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    concurrency: int | None = None
    file: str = ""
    tests: tuple[RuleTest, ...] = ()
    dead_letters_of: tuple[str, ...] | None = None
    fire: Fire = "always"
    throttle: Throttle | None = None
    count: Count | None = None
    digest: Digest | None = None
    absent: Absent | None = None
    active: Active | None = None
    max_age: float | None = None
    loop_guard: LoopGuard = field(default_factory=LoopGuard)
    schedule: Schedule | None = None
    topic: TopicSource | None = None
    resolved: tuple[RuleAction, ...] = ()
    grouped_by: Per | None = field(init=False)
    is_gated: bool = field(init=False)

    def __post_init__(self) -> None:
        """Work out what is asked for each delivery."""
        grouping = self.throttle or self.count or self.digest
        object.__setattr__(self, "grouped_by", grouping.per if grouping is not None else None)
        kept_back = (self.throttle, self.count, self.active, self.max_age, self.loop_guard.at_most)
        object.__setattr__(self, "is_gated", any(setting is not None for setting in kept_back))

    @property
    def ending(self) -> "Rule | None":
        """What is owed once that which the rule fired for is over, as a rule of the same name; None: nothing.

        Its actions are `resolved`, which wait for the rule's hours; nothing but an operator leaves them out.
        It wants every change that may be the end of it; where something is to come again, the rule itself
        wants that.
        """
        if not self.resolved:
            return None
        return Rule(
            name=self.name,
            collections=self.collections if self.absent is None else Collections(()),
            actions=self.resolved,
            description=self.description,
            enabled=self.enabled,
            operations=frozenset({"update", "replace", "delete"}),
            ordering=self.ordering,
            retry=self.retry,
            concurrency=self.concurrency,
            file=self.file,
            active=replace(self.active, otherwise="hold") if self.active is not None else None,
        )

    def wants(self, operation: str) -> bool:
        """Whether events of this kind can concern the rule.

        A rescan shows documents as they are, which is enough for a rule that wants inserts, updates or
        replacements and whose condition does not ask what was before or what has changed.
        """
        if operation != RESCAN:
            return operation in self.operations
        asked = {reading.root for reading in self.condition.reads} if self.condition is not None else set()
        return bool(_SHOWN_BY_A_RESCAN & self.operations) and not asked & {"before", "changed"}


def with_endings(rules: Iterable[Rule]) -> Iterator[Rule]:
    """`rules`, each followed by its `ending`, if it has one."""
    for rule in rules:
        yield rule
        if (ending := rule.ending) is not None:
            yield ending
