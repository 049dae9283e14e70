"""For people who test their rules with pytest, beside the `tests:` in the rule files.

    from mtrigger.testing import event, fires, rules

    big_order = rules("triggers")["big-order"]

    def test_a_big_order_is_reported():
        assert fires(big_order, event({"amount": 12000}, collection="shop.orders"))

No MongoDB is needed and nothing is sent. Everything is judged and rendered by the code that runs live.
"""

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from mtrigger.actions.services import Services
from mtrigger.events import ChangeEvent, Document
from mtrigger.loading import RuleSet, load
from mtrigger.rules import Operation, Rule
from mtrigger.trying.examples import example_namespace, made_event
from mtrigger.trying.judging import ActionPreview, Judgement, judge, previews
from mtrigger.trying.rule_tests import ExampleResult, check_examples

__all__ = [
    "ActionPreview",
    "ExampleResult",
    "Judgement",
    "Rules",
    "check_examples",
    "event",
    "example_namespace",
    "fires",
    "judge",
    "rules",
]


class Rules(Mapping[str, Rule]):
    """The rules of a folder by name. `preview` renders what one of them would send."""

    def __init__(self, loaded: RuleSet) -> None:
        self._templates = loaded.templates
        self._by_name = {rule.name: rule for rule in loaded.rules}

    def __getitem__(self, name: str) -> Rule:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def check(self, name: str) -> list[ExampleResult]:
        """What came of each entry under `tests:` of the rule `name`."""
        return check_examples(self[name], Services(self._templates))

    def preview(self, name: str, event: ChangeEvent) -> list[ActionPreview]:
        """What each action of the rule `name` would do for `event`: the mail, the request, the line."""
        return previews(self[name], event, Services(self._templates))


def rules(folder: str | Path = "triggers", templates: str | Path | None = None) -> Rules:
    """The rules in `folder` (or in one file), with `${NAME}` filled in from the environment.

    `templates` is the folder of the templates, by default `templates/` beside the rules. Raises RulesError
    with every mistake of every file, SettingsError when there is nothing to read.
    """
    return Rules(load(Path(folder), Path(templates) if templates is not None else None, os.environ))


def event(
    document: Document,
    *,
    operation: Operation = "insert",
    before: Document | None = None,
    collection: str = "test.documents",
    time: datetime | None = None,
) -> ChangeEvent:
    """The event of one change to `document` in `collection` ("database.collection").

    `document` is the document after the change, for a delete its last known state. An update sets and removes
    what differs from `before`; without `before` it counts as setting every field. `time` (aware, default:
    now) is when it happened, and what `now()` is in conditions and templates.

    Raises ValueError for a document `before` an insert, or a time without a zone.
    """
    moment = time if time is not None else datetime.now(UTC)
    if moment.tzinfo is None:
        raise ValueError("say the zone of `time`, for example with tzinfo=UTC")
    return made_event(document, operation, before, collection, moment.astimezone(UTC))


def fires(rule: Rule, event: ChangeEvent) -> bool:
    """Whether `rule` is enabled, wants this collection and operation, and its condition holds for `event`."""
    return judge(rule, event).fires
