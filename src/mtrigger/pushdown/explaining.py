"""What of each rule the server decides, and what is left to decide here. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mtrigger.pushdown import pre_images
from mtrigger.pushdown.clauses import Clause, clauses
from mtrigger.pushdown.covers import Share
from mtrigger.rules import Rule


@dataclass(frozen=True, slots=True)
class PushedPart:
    """What the server is asked of events with one of `operations`: `filter`, over change events. It is asked
    once for `rules` rules, this one among them."""

    operations: tuple[str, ...]
    filter: dict[str, Any]
    rules: int


@dataclass(frozen=True, slots=True)
class PushedRule:
    """What of one rule's condition goes to the server (`parts`) and which parts stay here (`kept`, in the
    words of the rule); `reason` says why, where something does."""

    rule: Rule
    parts: tuple[PushedPart, ...]
    kept: tuple[str, ...]
    reason: str

    @property
    def pre_images(self) -> str:
        """Why the rule needs the document before a change, "" when it does not."""
        return pre_images.reason(self.rule)


def explain(rules: Iterable[Rule]) -> list[PushedRule]:
    """What of each enabled rule goes to the server, in the stream that serves them all."""
    enabled = [rule for rule in rules if rule.enabled]
    found: dict[int, list[Clause]] = {id(rule): [] for rule in enabled}
    for clause in clauses(enabled):
        for rule in clause.rules:
            if id(rule) in found:  # else it is the ending of one
                found[id(rule)].append(clause)
    return [_explained(rule, found[id(rule)]) for rule in enabled]


def _explained(rule: Rule, found: list[Clause]) -> PushedRule:
    condition = rule.condition
    if condition is None:
        return PushedRule(rule, (), (), "")
    if rule.dead_letters_of is not None:
        return PushedRule(rule, (), (condition.text,), "dead letters come from the outbox")
    parts, reasons, kept = [], dict[str, None](), dict[str, None]()
    for clause in found:
        operations = tuple(sorted(clause.operations))
        share = next((share for share in clause.shares if condition in share.conditions), None)
        if share is not None and share.each:
            pushed = condition.pushdown("fullDocument")
            parts.append(PushedPart(operations, pushed.filter, 1))
            kept |= dict.fromkeys(pushed.kept)
            if not pushed.exact:
                reasons["cannot be said to the server"] = None
            continue
        kept[condition.text] = None
        reasons[_reason(operations, share)] = None
        if share is not None and share.filter:
            sharing = frozenset(share.conditions)
            wanting = sum(other.condition in sharing for other in clause.rules)
            parts.append(PushedPart(operations, share.filter, wanting))
    if condition.text in kept:
        kept = {condition.text: None}
    return PushedRule(rule, tuple(part for part in parts if part.filter), tuple(kept), "; ".join(reasons))


def _reason(operations: tuple[str, ...], share: Share | None) -> str:
    if share is None:
        return "another rule wants every such event"
    if not share.filter:
        return "asking the server would cost more than it saves, or cannot be said to it"
    if "update" in operations or "delete" in operations:
        return f"for {' and '.join(operations)}: the event may not carry the document"
    return "the server is asked for what several rules share"
