"""How `mtrigger test` shows what it found, as text and as JSON: examples, judgements, traces, previews."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtrigger.cli.output import one_line, printable, relaxed
from mtrigger.conditions import Trace
from mtrigger.events import ChangeEvent
from mtrigger.rules import RuleTest
from mtrigger.trying.judging import ActionPreview, Demand, Judgement
from mtrigger.trying.rule_tests import ExampleResult

_LONGEST_SUMMARY = 100


def example_lines(result: ExampleResult) -> Iterator[str]:
    """One line for an example, and for a failed one why it came out so."""
    example = result.example
    mark = "pass" if result.passed else "FAIL"
    yield f"{mark}  {result.rule.name}  {result.place}  {example_summary(example)}: {example.expect}"
    if not result.passed:
        yield f"      {result}"
        for line in reasons(result.judgement):
            yield f"      {line}"


def example_summary(example: RuleTest) -> str:
    """What happens in an example, in one line."""
    given = example.given[0] if len(example.given) == 1 else list(example.given)
    times = f", {example.times} times" if example.times > 1 else ""
    return f"{example.operation} {_shortened(relaxed(given))}{times}"


def event_heading(event: ChangeEvent) -> str:
    """An event in one line."""
    if not event.database:  # a dead letter written by hand
        return one_line(event.operation)
    return one_line(f"{event.operation} in {event.namespace}, key {_shortened(relaxed(event.key))}")


def judgement_lines(judgement: Judgement, actions: Sequence[ActionPreview]) -> Iterator[str]:
    """One line for the rule, then why, then what each action would do."""
    verdict = "fires" if judgement.fires else "ignored" if judgement.wanted else "not wanted"
    yield f"{judgement.rule.name}: {verdict}"
    for line in reasons(judgement):
        yield f"  {line}"
    for action in actions:
        yield from preview_lines(action)


def reasons(judgement: Judgement) -> Iterator[str]:
    """Which demand was not met; or the condition part by part, with what was observed."""
    for demand in judgement.demands:
        if not demand.met:
            yield f"no   {one_line(_unmet(demand))}"
    if judgement.trace is not None:
        yield from _trace_lines(judgement.trace, 0)
    elif judgement.wanted:
        yield "yes  (no condition: every such event counts)"


def _unmet(demand: Demand) -> str:
    if demand.name == "enabled":
        return "the rule is not enabled"
    found = f"this event has {demand.found}" if demand.found else "this event touches none"
    return f"{demand.name}: {demand.asked} ({found})"


def _trace_lines(trace: Trace, depth: int) -> Iterator[str]:
    mark = "yes" if trace.held else "no "
    observed = f"  ({one_line(trace.observed)})" if trace.observed else ""
    yield f"{mark}  {'  ' * depth}{one_line(trace.text)}{observed}"
    for part in trace.parts:
        yield from _trace_lines(part, depth + 1)


def preview_lines(action: ActionPreview) -> Iterator[str]:
    """What one action would do, or why it would fail."""
    if action.preview is None:
        yield f"  {action.action} would fail: {printable(action.failure)}"
        return
    yield f"  {action.action} would run: {one_line(action.preview.summary)}"
    for heading, text in action.preview.parts.items():
        lines = printable(text).strip("\n").splitlines() or [""]
        if len(lines) == 1:
            yield f"    {heading}: {lines[0]}"
        else:
            yield f"    {heading}:"
            yield from (f"      {line}".rstrip() for line in lines)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SUMMARY else f"{text[: _LONGEST_SUMMARY - 1]}…"


def example_json(result: ExampleResult) -> dict[str, Any]:
    """An example and what came of it."""
    example = result.example
    return {
        "rule": result.rule.name,
        "file": result.rule.file,
        "line": example.line,
        "operation": example.operation,
        "given": example.given[0] if len(example.given) == 1 else list(example.given),
        "before": example.before,
        "expect": example.expect,
        "came": result.tried.came,
        "reason": result.tried.reason or None,
        "failures": list(result.failures),
        "passed": result.passed,
        **_judgement_json(result.judgement),
    }


def event_json(event: ChangeEvent, judged: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """An event and what the rules made of it."""
    return {
        "event": {
            "operation": event.operation,
            "namespace": event.namespace,
            "key": event.key,
            "document": event.document,
            "before": event.before,
            "changed": event.changed,
            "image": event.image,
        },
        "rules": judged,
    }


def judgement_json(judgement: Judgement, actions: Sequence[ActionPreview]) -> dict[str, Any]:
    """What one rule made of an event, and what its actions would do."""
    return {
        "rule": judgement.rule.name,
        **_judgement_json(judgement),
        "actions": [preview_json(action) for action in actions],
    }


def _judgement_json(judgement: Judgement) -> dict[str, Any]:
    return {
        "fires": judgement.fires,
        "wanted": judgement.wanted,
        "demands": [
            {"name": demand.name, "asked": demand.asked, "found": demand.found, "met": demand.met}
            for demand in judgement.demands
        ],
        "trace": _trace_json(judgement.trace) if judgement.trace is not None else None,
    }


def _trace_json(trace: Trace) -> dict[str, Any]:
    return {
        "text": trace.text,
        "held": trace.held,
        "observed": trace.observed,
        "parts": [_trace_json(part) for part in trace.parts],
    }


def preview_json(action: ActionPreview) -> dict[str, Any]:
    """The same as JSON."""
    preview = action.preview
    return {
        "action": action.action,
        "kind": action.kind,
        "summary": preview.summary if preview is not None else None,
        "parts": dict(preview.parts) if preview is not None else {},
        "failure": action.failure or None,
    }
