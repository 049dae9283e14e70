"""Rules whose action is a Python function of the test's own, and what was called."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from mtrigger.actions.base import ActionConfig, Preview, Work
from mtrigger.conditions import parse
from mtrigger.dispatcher import Runner
from mtrigger.retry import RetryPolicy
from mtrigger.rules import Collections, Ordering, Rule, RuleAction
from mtrigger.stores.base import LineKey

Deed = Callable[[Work], Awaitable[None]]


async def nothing(work: Work) -> None:
    """An action that always succeeds."""


@dataclass
class Recorder:
    """An action that remembers its attempts and does what the test says."""

    deed: Deed = nothing
    attempts: list[Work] = field(default_factory=list)
    delivered: list[Work] = field(default_factory=list)

    async def run(self, work: Work) -> str:
        """Remember, then do it."""
        self.attempts.append(work)
        await self.deed(work)
        self.delivered.append(work)
        return "done"

    def preview(self, work: Work) -> Preview:
        """Nothing to see."""
        return Preview("record", {})

    @property
    def ids(self) -> list[str]:
        """The deliveries that were done, in order."""
        return [work.delivery_id for work in self.delivered]

    @property
    def documents(self) -> list[object]:
        """The documents they were about, in order."""
        return [work.scope["document"] for work in self.delivered]


def rule_on(
    *patterns: str,
    name: str = "big-order",
    when: str = "",
    operations: frozenset[str] = frozenset({"insert", "update", "replace"}),
    ordering: Ordering = "document",
    retry: RetryPolicy | None = None,
) -> Rule:
    """A rule with one action, `log`."""
    return Rule(
        name=name,
        collections=Collections(patterns),
        actions=(RuleAction("log", "log", ActionConfig()),),
        operations=operations,
        condition=parse(when) if when else None,
        ordering=ordering,
        retry=retry or RetryPolicy(),
    )


def runners_of(action: Recorder, *rules: Rule) -> dict[LineKey, Runner]:
    """Every rule's action is `action`."""
    return {LineKey(rule.name, "log"): Runner(rule, action) for rule in rules}
