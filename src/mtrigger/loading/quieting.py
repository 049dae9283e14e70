"""What a rule's quiet settings (`throttle`, `digest`, `count`, …) may stand beside."""

from mtrigger.loading.models import RuleFile
from mtrigger.loading.nodes import Mapping, Report

MOST_COUNTED = 10_000
"""Changes of one group that a rule may count up to: their times are remembered."""


def check_quiet(model: RuleFile, rule: Mapping, report: Report) -> None:
    """Report what does not go together in one rule."""
    throttle, count = model.throttle, model.count
    if throttle is not None and count is not None and throttle.per != count.per:
        message = "`throttle` and `count` of one rule need the same `per`: they remember the same groups"
        report.add_within(rule, ("throttle",), message)
    if count is not None and count.at_least > MOST_COUNTED:
        report.add_within(rule, ("count", "at_least"), f"a rule counts up to {MOST_COUNTED:,} changes")
    if model.digest is not None:
        for key in ("throttle", "count"):
            if getattr(model, key) is not None:
                message = f"`digest` and `{key}` cannot be combined: keep one of them"
                report.add_within(rule, ("digest",), message)
    _check_ordering(model, rule, report)


def _check_ordering(model: RuleFile, rule: Mapping, report: Report) -> None:
    """What is counted or gathered together is handled in the order of its group, and in no other."""
    for key in ("throttle", "count", "digest"):
        setting = getattr(model, key)
        if setting is None or model.ordering == "document":
            continue
        if model.ordering == "none":
            message = f"`ordering: none` cannot be kept with `{key}`: a group's deliveries come one by one"
        elif setting.per:
            message = f"`ordering: rule` cannot be kept with `{key}.per`: each group has its own order"
        else:
            continue
        report.add_within(rule, ("ordering",), f"{message}. Leave `ordering` out")
        return
