"""Which rules need the document before a change (its pre-image). Pure.

It is another document of the same size, to be sent, decoded and stored with what is owed, and few rules look
at it. The promise: because it is not asked for, no rule holds otherwise, and no action sees less.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

from mtrigger.rules import Rule

_HAVE_ONE = frozenset({"update", "replace"})


def asked_for(rules: Iterable[Rule]) -> bool:
    """Whether an enabled one of `rules` needs pre-images."""
    return any(rule.enabled and reason(rule) for rule in rules)


def reason(rule: Rule) -> str:
    """Why `rule` needs pre-images, as half a sentence; "" when it does not."""
    return next(_reasons(rule), "") or (reason(rule.ending) if rule.ending is not None else "")


def judged_by(rule: Rule) -> Literal["", "before", "document"]:
    """What of the document before a change the condition is judged by, so that it comes out otherwise in a
    collection that keeps no pre-images: parts of it (`before`), or, of a delete, all there is."""
    reads = rule.condition.reads if rule.condition is not None else frozenset()
    of_the_document = any(reading.root == "document" and reading.path[:1] != ("_id",) for reading in reads)
    if "delete" in rule.operations and of_the_document:
        return "document"
    return "before" if any(reading.root == "before" for reading in reads) else ""


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
