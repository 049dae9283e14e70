"""One document of a rule file to one `Rule`: keys checked, condition parsed, actions compiled."""

from pathlib import PurePath
from typing import Any

from mtrigger.conditions import About
from mtrigger.loading.doing import Draft, compile_actions
from mtrigger.loading.expressions import condition_at
from mtrigger.loading.firing import check_firing, firing_condition
from mtrigger.loading.models import RuleFile
from mtrigger.loading.nodes import Place, Report, Scalar
from mtrigger.loading.on_models import valid_name
from mtrigger.loading.quieting import check_quiet
from mtrigger.loading.rule_tests import compile_tests
from mtrigger.loading.schedules import compile_schedule
from mtrigger.loading.sources import check_source, operations_of
from mtrigger.loading.topics import compile_topic, has_topic, lead_into_messages
from mtrigger.loading.validation import validate
from mtrigger.rules import Collections, Rule
from mtrigger.templates import Templates


def name_of(draft: Draft, report: Report) -> tuple[str, Place]:
    """The rule's name and where it comes from; an empty name if there is no valid one (that is reported here,
    except for a wrong `name:`, which the model reports)."""
    node = draft.node.get("name")
    if node is not None:
        text = node.value if isinstance(node, Scalar) else None
        try:
            return valid_name(str(text or "")), node.place
        except ValueError:
            return "", node.place
    place = draft.node.place
    if not draft.alone:
        report.add(place, "the file holds several rules: each needs a `name`")
        return "", place
    stem = PurePath(place.source.name).stem
    try:
        return valid_name(stem), Place(place.source, 0, 1, 1)
    except ValueError as error:
        report.add(place, f"the file's name cannot name the rule ({error}); give it a `name`")
        return "", place


def compile_rule(draft: Draft, name: str, templates: Templates, report: Report) -> Rule | None:
    """The rule, or None if something is wrong with it; every mistake goes to `report`."""
    before = len(report.mistakes)
    model = validate(RuleFile, draft.node, report)
    when = draft.node.get("when")
    about: About = "message" if has_topic(draft.node) else "document"
    condition = condition_at(when, "when", report, about) if when is not None else None
    if model is not None:
        check_source(model, draft.node, condition, report)
        check_quiet(model, draft.node, report)
        check_firing(model, draft.node, condition, report)
    schedule = compile_schedule(model, draft.node, report) if model is not None else None
    entries = compile_actions(draft, templates, report)
    taken = [action.name for action in entries]
    resolved = compile_actions(draft, templates, report, "resolved", taken)
    tests = compile_tests(model, draft.node, report) if model else ()
    quiet = _quiet(model) if model is not None else {}
    if about == "message":
        quiet = lead_into_messages(quiet, draft.node, report)
    if model is None or len(report.mistakes) > before:
        return None
    return Rule(
        name=name,
        collections=Collections(model.on.collection or ()),
        actions=entries,
        description=model.description,
        enabled=model.enabled,
        operations=operations_of(model.on),
        fields=model.on.fields,
        condition=firing_condition(model, condition),
        ordering=model.ordering,
        retry=model.retry.policy(),
        concurrency=model.concurrency,
        file=draft.node.place.source.name,
        tests=tests,
        dead_letters_of=model.on.rules if model.on.dead_letters else None,
        schedule=schedule,
        resolved=resolved,
        topic=compile_topic(model, name),
        **quiet,
    )


def _quiet(model: RuleFile) -> dict[str, Any]:
    """When the rule speaks, as the engine's own values."""
    given = {key: getattr(model, key) for key in ("throttle", "count", "digest", "absent", "active")}
    values = {key: setting.value() for key, setting in given.items() if setting is not None}
    return {
        **values,
        "fire": model.fire,
        "max_age": model.max_age,
        "loop_guard": model.loop_guard.value(),
    }
