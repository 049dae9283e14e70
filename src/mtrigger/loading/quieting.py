"""What a rule's quiet settings (`throttle`, `digest`, `count`, …) may stand beside."""

from mtrigger.loading.models import RuleFile
from mtrigger.loading.nodes import Mapping, Report, find


def check_quiet(model: RuleFile, rule: Mapping, report: Report) -> None:
    """Report what does not go together in one rule."""
    throttle, count = model.throttle, model.count
    if throttle is not None and count is not None and throttle.per != count.per:
        _report(rule, ("throttle",), report, "`throttle` and `count` of one rule have the same `per`")
    if model.digest is not None:
        for key in ("throttle", "count"):
            if getattr(model, key) is not None:
                message = f"`digest` and `{key}` cannot be combined: keep one of them"
                _report(rule, ("digest",), report, message)


def _report(rule: Mapping, path: tuple[str, ...], report: Report, message: str) -> None:
    _, place = find(rule, path)
    report.add(place, message)
