"""Which rules need the document before a change (its pre-image). Pure.

It is another document of the same size, to be sent, decoded and stored with what is owed, and few rules look
at it. The promise: because it is not asked for, no rule holds otherwise, and no action sees less.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

from mtrigger.rules import Rule, RuleAction
from mtrigger.templates import SCOPE_NAMES

_HAVE_ONE = frozenset({"update", "replace"})


def asked_for(rules: Iterable[Rule]) -> bool:
    """Whether an enabled one of `rules` needs pre-images."""
    return any(rule.enabled and reason(rule) for rule in rules)


def reason(rule: Rule) -> str:
    """Why `rule` needs pre-images, as half a sentence; "" when it does not."""
    return next(_reasons(rule), "") or (reason(rule.ending) if rule.ending is not None else "")


def needed(rule: Rule) -> bool:
    """Whether the rule's collections must keep pre-images: else its condition comes out otherwise, or its
    actions tell of what is not there."""
    return bool(judged_by(rule) or told_of(rule))


def told_of(rule: Rule) -> Literal["", "before", "document"]:
    """What of the document before a change the actions ask for by its name: `before`, or, of a delete, the
    `document`. What tells everything there is (a standard message) can do without."""
    if "delete" in rule.operations and _named("document", rule.actions):
        return "document"
    has_one = rule.operations & _HAVE_ONE and _named("before", rule.actions)
    return "before" if has_one or _named("before", rule.resolved) else ""


def _named(name: str, actions: Iterable[RuleAction]) -> bool:
    return any(
        action.reads is not None and name in action.reads and action.reads != SCOPE_NAMES
        for action in actions
    )


def judged_by(rule: Rule) -> Literal["", "before", "document"]:
    """What of the document before a change the condition is judged by, so that it comes out otherwise in a
    collection that keeps no pre-images: parts of it (`before`), or, of a delete, all there is."""
    reads = rule.condition.reads if rule.condition is not None else frozenset()
    of_the_document = any(reading.root == "document" and reading.path[:1] != ("_id",) for reading in reads)
    if "delete" in rule.operations and of_the_document:
        return "document"
    asks = any(reading.root == "before" for reading in reads)
    return "before" if asks and rule.operations & _HAVE_ONE else ""


def _reasons(rule: Rule) -> Iterator[str]:
    """An insert has none. An update says itself what it changed; a replacement is compared with its own."""
    if "delete" in rule.operations:
        yield "it wants deletes, whose document is the one before"
    if not rule.operations & _HAVE_ONE:
        return
    compares = "replace" in rule.operations
    roots = {reading.root for reading in rule.condition.reads} if rule.condition is not None else set()
    if "before" in roots:
        yield "its condition asks what was before"
    if compares and "changed" in roots:
        yield "its condition asks what a replacement has changed"
    if compares and rule.fields:
        yield "its `fields` are compared when a document is replaced"
    for action in rule.actions:
        if action.reads is None:
            yield f"what its action {action.name} reads cannot be told"
        elif "before" in action.reads:
            yield f"its action {action.name} reads `before`"
        elif compares and "changed" in action.reads:
            yield f"its action {action.name} reads what a replacement has `changed`"
