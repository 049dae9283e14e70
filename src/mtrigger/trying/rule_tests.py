"""The `tests:` of a rule, held against it: does it do what each example expects?

Promises: an example takes the way of a live event (`examples.made_event`, `judging.judge`, `trials.Trial`),
and nothing is sent. Its time stands still: unless it says `at:`, it happens now and within active hours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mtrigger import schedules
from mtrigger.actions.services import Services
from mtrigger.errors import Mistake, RulesError
from mtrigger.events import DEAD_LETTER, MESSAGE, SCHEDULE, ChangeEvent
from mtrigger.rules import Rule, RuleTest
from mtrigger.templates import Templates
from mtrigger.trying.examples import example_namespace, made_dead_letter, made_event, made_message
from mtrigger.trying.judging import ActionPreview, Judgement, judge_enabled, previews
from mtrigger.trying.trials import Trial, Tried


@dataclass(frozen=True, slots=True)
class ExampleResult:
    """What came of one entry of a rule's `tests:`; `judgement` is that of its last event.

    `failures` say what is wrong with what its actions would do: texts that they do not hold, or that they
    cannot be made at all.
    """

    rule: Rule
    example: RuleTest
    judgement: Judgement
    tried: Tried
    failures: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the rule did what the example expects."""
        return self.tried.came == self.example.expect and not self.failures

    @property
    def place(self) -> str:
        """Where the example stands: `file:line`."""
        return f"{self.rule.file}:{self.example.line}"

    def __str__(self) -> str:
        """One sentence, fit for an assertion's message."""
        came = self.tried.came if self.tried.came in ("fires", "resolves") else f"is {self.tried.came}"
        why = f" ({self.tried.reason})" if self.tried.reason else ""
        as_expected = self.tried.came == self.example.expect
        verdict = "as expected" if as_expected else f"but `{self.example.expect}` was expected"
        said = "".join(f"; {failure}" for failure in self.failures)
        return f"{self.place}: rule {self.rule.name} {came}{why}, {verdict}{said}"


def check_examples(rule: Rule, services: Services | None = None) -> list[ExampleResult]:
    """Hold `rule` against each of its `tests:`, on its own collection, whether or not it is enabled.

    `services` hold the templates that `renders:` is looked for in; without them only the rule's own texts can
    be rendered. Raises RulesError for an example of something that cannot happen (an insert with a document
    before it).
    """
    services = services or Services(Templates(None))
    results, mistakes = [], []
    for example in rule.tests:
        try:
            results.append(_result(rule, example, services))
        except ValueError as error:
            mistakes.append(Mistake(rule.file, example.line, 1, str(error)))
    if mistakes:
        raise RulesError(mistakes)
    return results


def _result(rule: Rule, example: RuleTest, services: Services) -> ExampleResult:
    asked = rule if example.at is not None else replace(rule, active=None)
    last = (example.at or datetime.now(UTC)).astimezone(UTC)
    trial = Trial()
    for event in _events(rule, example, last):
        judgement = judge_enabled(asked, event)
        now = event.time + timedelta(seconds=example.after)
        tried = trial.consider(asked, event, now, fires=judgement.fires)
    failures: tuple[str, ...] = ()
    if tried.came in ("fires", "resolves") and example.renders and tried.rule and tried.event:
        facts = {**tried.facts, **_found(example)}
        shown = previews(tried.rule, tried.event, services, facts)
        failures = tuple(_unrendered(shown, example.renders))
    return ExampleResult(rule, example, judgement, tried, failures)


def _events(rule: Rule, example: RuleTest, last: datetime) -> list[ChangeEvent]:
    """What happens in the example, the last of it at `last`."""
    if example.operation == SCHEDULE:
        return [schedules.event_of(rule, last)]
    documents = example.given * example.times
    apart = timedelta(seconds=example.apart)
    times = [last - apart * behind for behind in reversed(range(len(documents)))]
    if example.operation == DEAD_LETTER:
        return [made_dead_letter(given, time) for given, time in zip(documents, times, strict=True)]
    if example.operation == MESSAGE:
        messages = enumerate(zip(documents, times, strict=True), 1)
        return [
            made_message(body, rule, time, number, example.key, example.headers)
            for number, (body, time) in messages
        ]
    namespace, operation = example_namespace(rule), example.operation
    return [
        made_event(given, operation, example.before, namespace, time)
        for given, time in zip(documents, times, strict=True)
    ]


def _found(example: RuleTest) -> dict[str, Any]:
    """What the query of a scheduled rule finds in the example."""
    if example.operation != SCHEDULE:
        return {}
    return schedules.facts(example.given, len(example.given))


def _unrendered(actions: Sequence[ActionPreview], wanted: Sequence[str]) -> Iterator[str]:
    """What is wrong with the previews of all actions, of which one at least must hold each wanted text."""
    for action in actions:
        if action.preview is None:
            yield f"{action.action} would fail: {action.failure}"
    texts = [
        text
        for action in actions
        if action.preview is not None
        for text in (action.preview.summary, *action.preview.parts.values())
    ]
    for text in wanted:
        if not any(text in rendered for rendered in texts):
            yield f"no action renders {text!r}"
