"""What rules ask of the world beyond their files: a mail server, collections that exist, stored images.

Held against the deployment at the start and at every reload, so that a rule that could never fire is spoken
of before it is missed. The decisions are pure; `survey` does the looking.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from mtrigger import actions
from mtrigger.deployment.connecting import collections
from mtrigger.rules import Rule


@dataclass(frozen=True, slots=True)
class Survey:
    """The collections of a deployment: namespace -> whether it keeps pre- and post-images."""

    images: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about one rule. A grave one means that events would be missed or mails never sent."""

    rule: str
    message: str
    grave: bool

    def __str__(self) -> str:
        return f"rule {self.rule}: {self.message}"


async def survey(client: AsyncMongoClient[dict[str, Any]], rules: Iterable[Rule]) -> Survey | None:
    """Look at the collections the rules may mean; None when we cannot or may not look."""
    patterns = [pattern.partition(".")[0] for rule in rules for pattern in rule.collections.patterns]
    try:
        found = await collections(client, patterns)
    except PyMongoError:
        # Without the privilege to list collections nothing can be said, nor while the deployment does not
        # answer: rules may be reloaded during an outage, which the stream waits out.
        return None
    kept = {name: options.get("changeStreamPreAndPostImages", {}) for name, options in found.items()}
    return Survey({name: bool(images.get("enabled")) for name, images in kept.items()})


def findings(rules: Sequence[Rule], found: Survey | None, mail_server: object | None) -> list[Finding]:
    """Everything worth saying about the enabled ones of `rules`."""
    enabled = [rule for rule in rules if rule.enabled]
    said = [finding for rule in enabled if mail_server is None for finding in _mail(rule)]
    if found is not None:
        for rule in enabled:
            said += _missing_collections(rule, found)
            said += _missing_images(rule, found)
    return said


def across_partitions(rules: Iterable[Rule], partitions: int) -> list[Finding]:
    """The enabled rules that ask for an order which several partitions cannot keep: they run side by side."""
    if partitions == 1:
        return []
    message = (
        f"`ordering: rule` asks for one sequence of all its deliveries, which {partitions} partitions cannot "
        "keep: they run side by side. Let it keep the order of each document (`ordering: document`), or move "
        "it to a folder that a `mtrigger watch` of its own watches, undivided and with a --state-db of its "
        "own"
    )
    ordered = (rule for rule in rules if rule.enabled and rule.ordering == "rule")
    return [Finding(rule.name, message, grave=True) for rule in ordered]


def without_images(rule: Rule, found: Survey) -> list[str]:
    """The collections of `rule` that keep no images although its condition needs them."""
    if not _needs_images(rule):
        return []
    return sorted(name for name, kept in found.images.items() if not kept and rule.collections.include(name))


def _needs_images(rule: Rule) -> bool:
    if rule.condition is None:
        return False
    return _reads_before(rule) or ("delete" in rule.operations and _reads_document(rule))


def _reads_before(rule: Rule) -> bool:
    return rule.condition is not None and any(reading.root == "before" for reading in rule.condition.reads)


def _reads_document(rule: Rule) -> bool:
    if rule.condition is None:
        return False
    read = (reading.path for reading in rule.condition.reads if reading.root == "document")
    return any(path[:1] != ("_id",) for path in read)


def _mail(rule: Rule) -> Iterable[Finding]:
    if any("smtp" in actions.kind(action.kind).needs(action.config) for action in rule.actions):
        yield Finding(
            rule.name,
            "sends e-mail, but no mail server is set. Set MTRIGGER_SMTP_URL, for example "
            "smtp://user:password@mail.example.com:587 (to try it out: run `mtrigger mailbox` and set "
            "smtp://localhost:1025?tls=none), or give the action its own `smtp:`",
            grave=True,
        )


def _missing_collections(rule: Rule, found: Survey) -> Iterable[Finding]:
    for pattern in rule.collections.patterns:
        if any(type(rule.collections)((pattern,)).include(name) for name in found.images):
            continue
        near = difflib.get_close_matches(pattern.replace("*", ""), found.images, n=1, cutoff=0.7)
        hint = f" (did you mean {near[0]}?)" if near else ""
        if "*" in pattern:
            there = ", ".join(sorted(found.images)[:5]) or "none"
            text = (
                f"no collection matches {pattern} yet{hint}; there are: {there}. It is watched once it exists"
            )
        else:
            text = f"the collection {pattern} does not exist yet{hint}. It is watched once it exists"
        yield Finding(rule.name, text, grave=False)


def _missing_images(rule: Rule, found: Survey) -> Iterable[Finding]:
    for name in without_images(rule, found):
        collection = name.partition(".")[2]
        way_out = (
            f"Turn them on with `mtrigger prepare`, or in mongosh: db.runCommand({{collMod: {collection!r}, "
            "changeStreamPreAndPostImages: {enabled: true}})"
        )
        if "delete" in rule.operations and _reads_document(rule):
            text = f"{name} keeps no pre-images, so its condition cannot be judged for a delete. {way_out}"
            yield Finding(rule.name, text, grave=True)
        else:
            text = f"{name} keeps no pre-images, so `before` is empty there. {way_out}"
            yield Finding(rule.name, text, grave=False)
