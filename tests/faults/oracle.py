"""The oracle: knows which deliveries a fixed walk of documents owes, and judges those that came.

Every document walks the same path: inserted, updated three times, deleted, inserted again, updated twice. So
for each of them it is known which transitions must have been delivered, in which order, and under which ids,
whatever happened to the engine meanwhile. Pure; `world.py` gathers what is judged here.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

PATH: Mapping[int, str] = {
    1: "insert",
    2: "update",
    3: "update",
    4: "update",
    5: "delete",
    6: "insert",
    7: "update",
    8: "update",
}
"""Step -> the operation that takes a document there."""

MOST_SHOWN = 5
"""Violations of one kind that are shown."""


class DocumentKey(NamedTuple):
    """Names one document of the walk."""

    namespace: str
    id: int


class Transition(NamedTuple):
    """One document taking one step."""

    document: DocumentKey
    step: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """One request that came in, in the order of arrival. `before` is the step the pre-image showed (0: none);
    `accepted` says whether it was answered with success."""

    delivery: str
    transition: Transition
    operation: str
    before: int
    accepted: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """A look at the state while the engine ran: `rows` of the outbox lie up to the stored `position`."""

    position: str
    rows: int


@dataclass(frozen=True, slots=True)
class Happened:
    """What really happened, told by the server's history: each transition's event token and delivery id."""

    tokens: Mapping[Transition, str]
    ids: Mapping[Transition, str]


def expected(documents: Iterable[DocumentKey]) -> list[Transition]:
    """Every transition of the walk, the steps of a document in order."""
    return [Transition(document, step) for document in documents for step in PATH]


def violations(happened: Happened, receipts: Sequence[Receipt], samples: Iterable[Sample]) -> list[str]:
    """What is wrong, in sentences; empty when nothing was lost, doubled or turned round."""
    return [
        *_shown("never delivered", _lost(happened, receipts)),
        *_shown("delivered but never happened", _invented(happened, receipts)),
        *_shown("delivered under another id", _renamed(happened, receipts)),
        *_shown("told wrongly", _untrue(receipts)),
        *_shown("out of order", _out_of_order(receipts)),
        *_shown("position ahead of the outbox", _ahead(happened, samples)),
    ]


def with_images(receipts: Iterable[Receipt]) -> list[str]:
    """What is wrong with the pre-images, where every collection keeps them."""
    wrong = [
        f"{_name(receipt.transition)}: the document before it was at step {receipt.before}"
        for receipt in receipts
        if receipt.before != (0 if receipt.operation == "insert" else receipt.transition.step - 1)
    ]
    return _shown("wrong pre-image", wrong)


def repeats(receipts: Iterable[Receipt]) -> int:
    """How many accepted requests repeated an accepted one."""
    accepted = Counter(receipt.delivery for receipt in receipts if receipt.accepted)
    return accepted.total() - len(accepted)


def _lost(happened: Happened, receipts: Iterable[Receipt]) -> list[str]:
    accepted = {receipt.transition for receipt in receipts if receipt.accepted}
    return [_name(transition) for transition in happened.tokens if transition not in accepted]


def _invented(happened: Happened, receipts: Iterable[Receipt]) -> list[str]:
    return [_name(receipt.transition) for receipt in receipts if receipt.transition not in happened.tokens]


def _renamed(happened: Happened, receipts: Iterable[Receipt]) -> list[str]:
    return [
        f"{_name(receipt.transition)}: {receipt.delivery} instead of {happened.ids[receipt.transition]}"
        for receipt in receipts
        if happened.ids.get(receipt.transition, receipt.delivery) != receipt.delivery
    ]


def _untrue(receipts: Iterable[Receipt]) -> list[str]:
    return [
        f"{_name(receipt.transition)}: told as {receipt.operation}"
        for receipt in receipts
        if PATH.get(receipt.transition.step) != receipt.operation
    ]


def _out_of_order(receipts: Sequence[Receipt]) -> list[str]:
    """A step whose first request came before the one before it was accepted."""
    first: dict[Transition, int] = {}
    done: dict[Transition, int] = {}
    documents: defaultdict[DocumentKey, set[int]] = defaultdict(set)
    for place, receipt in enumerate(receipts):
        first.setdefault(receipt.transition, place)
        documents[receipt.transition.document].add(receipt.transition.step)
        if receipt.accepted:
            done.setdefault(receipt.transition, place)
    return [
        f"{_name(Transition(document, later))} came before step {earlier} was accepted"
        for document, steps in documents.items()
        for earlier, later in pairwise(sorted(steps))
        if done.get(Transition(document, earlier), len(receipts)) > first[Transition(document, later)]
    ]


def _ahead(happened: Happened, samples: Iterable[Sample]) -> list[str]:
    tokens = sorted(happened.tokens.values())
    wrong = []
    for sample in samples:
        owed = bisect_right(tokens, sample.position)
        if sample.rows != owed:
            wrong.append(f"{owed} events lie before {sample.position}, {sample.rows} rows are in the outbox")
    return wrong


def _shown(what: str, items: Sequence[str]) -> list[str]:
    more = [f"{what}: … and {len(items) - MOST_SHOWN} more"] if len(items) > MOST_SHOWN else []
    return [f"{what}: {item}" for item in items[:MOST_SHOWN]] + more


def _name(transition: Transition) -> str:
    (namespace, id_), step = transition
    return f"{namespace} {id_} step {step}"
