"""When a rule fires and when that is over: what `fire`, `resolved` and `absent` ask of the rest of a rule."""

from mtrigger.conditions import Condition
from mtrigger.loading.models import RuleFile
from mtrigger.loading.nodes import Mapping, Report, place_of
from mtrigger.loading.sources import operations_of

_ABOUT_CHANGES = (
    "it asks whether that holds for a document, and `before`, `event` and changed(…) are about one change of "
    "it"
)


def check_firing(model: RuleFile, rule: Mapping, condition: Condition | None, report: Report) -> None:
    """Report what does not go together in one rule."""
    if model.on.schedule is not None or model.on.topic is not None:
        return  # said elsewhere: nothing of this has a meaning there
    if model.on.dead_letters:
        for key in ("fire", "resolved", "absent"):
            if (found := place_of(rule, (key,))) is not None:
                report.add(found, f"`{key}` is about changes of documents, and a dead letter is none")
        return
    if model.fire == "entering":
        _check_entering(model, rule, condition, report)
    if model.absent is not None and model.fire == "once":
        report.add_within(
            rule, ("fire",), "`absent` fires for silence, not for documents: leave `fire: once` out"
        )
    if rule.get("resolved") is not None:
        _check_resolved(model, rule, condition, report)


def firing_condition(model: RuleFile, condition: Condition | None) -> Condition | None:
    """The condition as it is held against each event."""
    return condition.entering() if model.fire == "entering" and condition is not None else condition


def _check_entering(model: RuleFile, rule: Mapping, condition: Condition | None, report: Report) -> None:
    if rule.get("when") is None:
        report.add_within(
            rule, ("fire",), "`fire: entering` needs a `when`: the condition that begins to hold"
        )
    elif condition is not None and not condition.is_of_a_state:
        report.add_within(rule, ("when",), f"`fire: entering` needs another `when`: {_ABOUT_CHANGES}")
    if operations_of(model.on) <= {"delete"}:
        report.add_within(rule, ("fire",), "no condition begins to hold when a document is deleted")


def _check_resolved(model: RuleFile, rule: Mapping, condition: Condition | None, report: Report) -> None:
    if model.absent is not None:
        return  # over when something comes
    if rule.get("when") is None:
        report.add_within(
            rule, ("resolved",), "`resolved` needs a `when`: it is over when that no longer holds"
        )
    elif condition is not None and not condition.lasting.is_of_a_state:
        report.add_within(rule, ("when",), f"`resolved` needs another `when`: {_ABOUT_CHANGES}")
    if model.fire == "once":
        report.add_within(
            rule, ("fire",), "`fire: once` and `resolved` cannot be combined: use `fire: entering`"
        )
    if model.count is not None:
        report.add_within(rule, ("resolved",), "`resolved` and `count` cannot be combined: keep one of them")
    if "delete" in model.on.operations:
        message = "a rule with `resolved` is told of deletes anyway: leave `delete` out"
        report.add_within(rule, ("on", "operations"), message)
