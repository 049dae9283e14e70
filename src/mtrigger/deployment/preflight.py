"""What rules ask of the world beyond their files: a mail server, collections that exist, stored images.

Held against the deployment at the start and at every reload, so that a rule that could never fire is spoken
of before it is missed. The decisions are pure; `survey` does the looking.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from mtrigger import actions
from mtrigger.deployment.connecting import collections
from mtrigger.pushdown.pre_images import judged_by, needed, told_of
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
    patterns = [
        pattern.partition(".")[0] for rule in rules for pattern in (*rule.collections.patterns, *_read(rule))
    ]
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
            said += _missing_from_query(rule, found)
            said += _missing_images(rule, found)
    return said


def across_partitions(rules: Iterable[Rule], partitions: int) -> list[Finding]:
    """What the enabled rules ask for that several partitions cannot keep: they run side by side, each with
    the documents whose ids fall to it."""
    if partitions == 1:
        return []
    return [
        Finding(
            rule.name,
            f"{asked}, which {partitions} partitions cannot keep: they run side by side, each with documents "
            f"of its own. {way_out}, or move it to a folder that a `mtrigger watch` of its own watches, "
            "undivided and with a --state-db of its own",
            grave=True,
        )
        for rule in rules
        if rule.enabled
        for asked, way_out in _across_documents(rule)
    ]


def _across_documents(rule: Rule) -> Iterator[tuple[str, str]]:
    """What `rule` asks for that spans several documents, and how to ask for less."""
    if rule.schedule is not None or rule.topic is not None:
        return  # all its deliveries are the first partition's, or its group's
    if rule.ordering == "rule":
        asked = "`ordering: rule` asks for one sequence of all its deliveries"
        yield asked, "Let it keep the order of each document (`ordering: document`)"
    if rule.absent is not None:
        # Even of one document: what is due is asked for all groups by the time of one stream.
        yield "`absent` goes by the time of the whole stream", "Watch with `--partitions 1`"
    for name in ("throttle", "count", "digest"):
        setting = getattr(rule, name)
        if setting is None or setting.per == ("_id",):
            continue
        groups = f"for each {', '.join(setting.per)}" if setting.per else "for the whole rule"
        yield f"`{name}` keeps account {groups}, over several documents", f"Use `{name}: {{per: _id, …}}`"


def into_the_state(rules: Iterable[Rule], state_database: str) -> list[Finding]:
    """The enabled rules that write into mtrigger's own database."""
    return [
        Finding(
            rule.name,
            f"writes into {namespace}, but {state_database} is mtrigger's own database: name another one in "
            "`into`, or give the state another with --state-db",
            grave=True,
        )
        for rule, namespaces in _written(rules)
        for namespace in sorted(namespaces)
        if namespace.partition(".")[0] == state_database
    ]


def carried_out_apart(rules: Iterable[Rule]) -> list[Finding]:
    """What to say of the enabled rules that write, when the state is kept in another deployment."""
    message = (
        "writes into MongoDB, and the state is kept in another deployment (--state-uri): the two cannot be "
        "one transaction there, so a write is made at least once, and again after a crash just then. Keep "
        "the state in the watched deployment to have each made exactly once"
    )
    return [Finding(rule.name, message, grave=False) for rule, _ in _written(rules)]


def without_topics(rules: Iterable[Rule]) -> list[Finding]:
    """What to say of the enabled rules that need topics, when the state cannot hold any."""
    message = (
        "needs topics, which lie with the state, and the MongoDB of the state (--state-uri) is not a replica "
        "set: only a replica set has transactions and change streams. Make it one (a single member is enough)"
    )
    return [Finding(rule.name, message, grave=True) for rule in rules if rule.enabled and _needs_topics(rule)]


def _needs_topics(rule: Rule) -> bool:
    entries = (*rule.actions, *rule.resolved)
    return rule.topic is not None or any(
        "topics" in actions.kind(entry.kind).needs(entry.config) for entry in entries
    )


def _written(rules: Iterable[Rule]) -> Iterable[tuple[Rule, frozenset[str]]]:
    for rule in rules:
        written = frozenset().union(*(action.writes for action in (*rule.actions, *rule.resolved)))
        if rule.enabled and written:
            yield rule, written


def without_images(rule: Rule, found: Survey) -> list[str]:
    """The collections of `rule` that keep no images although it needs them."""
    if not needed(rule):
        return []
    return sorted(name for name, kept in found.images.items() if not kept and rule.collections.include(name))


def _mail(rule: Rule) -> Iterable[Finding]:
    if any(
        "smtp" in actions.kind(action.kind).needs(action.config) for action in (*rule.actions, *rule.resolved)
    ):
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


def _read(rule: Rule) -> list[str]:
    """What the query of a rule with a schedule reads."""
    query = rule.schedule.query if rule.schedule is not None else None
    return [query.collection] if query is not None else []


def _missing_from_query(rule: Rule, found: Survey) -> Iterable[Finding]:
    for name in _read(rule):
        if name not in found.images:
            near = difflib.get_close_matches(name, found.images, n=1, cutoff=0.7)
            hint = f" (did you mean {near[0]}?)" if near else ""
            text = f"the collection {name}, which its query reads, does not exist yet{hint}"
            yield Finding(rule.name, text, grave=False)


def _missing_images(rule: Rule, found: Survey) -> Iterable[Finding]:
    for name in without_images(rule, found):
        collection = name.partition(".")[2]
        way_out = (
            f"Turn them on with `mtrigger prepare`, or in mongosh: db.runCommand({{collMod: {collection!r}, "
            "changeStreamPreAndPostImages: {enabled: true}})"
        )
        if judged_by(rule) == "document":
            text = f"{name} keeps no pre-images, so its condition cannot be judged for a delete. {way_out}"
            yield Finding(rule.name, text, grave=True)
        else:
            yield Finding(
                rule.name, f"{name} keeps no pre-images, so {_without(rule)}. {way_out}", grave=False
            )


def _without(rule: Rule) -> str:
    """What comes of it when a rule has no pre-images that it needs."""
    if rule.fire == "entering" and judged_by(rule):
        return (
            "whether its condition held before a change is not known: it fires for every change of its "
            "fields after which it holds"
        )
    if told_of(rule) == "document":
        return "its actions see nothing of a deleted document but the key"
    return "`before` is empty there"
