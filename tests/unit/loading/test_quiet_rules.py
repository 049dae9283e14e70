"""What keeps a rule quiet: what may stand together in one rule, and what a mistake there is answered with."""

import pytest

from mtrigger.loading.quieting import MOST_COUNTED
from support.rules_folder import SMALLEST, RulesFolder


@pytest.mark.parametrize(
    ("keys", "mistake"),
    [
        (
            "throttle: {every: 1h, per: a}\ncount: {at_least: 2, within: 1m, per: b}\n",
            "3:1: `throttle` and `count` of one rule need the same `per`: they remember the same groups",
        ),
        (
            f"count: {{at_least: {MOST_COUNTED + 1}, within: 1m}}\n",
            "3:9: a rule counts up to 10,000 changes",
        ),
        (
            "digest: {every: 1h}\nthrottle: {every: 1h}\n",
            "3:1: `digest` and `throttle` cannot be combined: keep one of them",
        ),
        (
            "digest: {every: 1h}\ncount: {at_least: 2, within: 1m}\n",
            "3:1: `digest` and `count` cannot be combined: keep one of them",
        ),
        (
            "throttle: {every: 1h}\nordering: none\n",
            (
                "4:1: `ordering: none` cannot be kept with `throttle`: a group's deliveries come one by one. "
                "Leave `ordering` out"
            ),
        ),
        (
            "count: {at_least: 2, within: 1m, per: a}\nordering: rule\n",
            (
                "4:1: `ordering: rule` cannot be kept with `count.per`: each group has its own order. "
                "Leave `ordering` out"
            ),
        ),
        ("throttle: {every: 0s}\n", "3:19: `0s`: must be longer than nothing"),
        ("throttle: {every: 1h, per: $.a}\n", "3:28: `$.a`: a field is a dotted path"),
        ("active: {timezone: Asia/Seol}\n", "did you mean `Asia/Seoul`?"),
        ("active: {hours: 9-18}\n", 'hours are written as "09:00-18:00"'),
        ("active: {days: mo-fr}\n", "days are written as mon-fri or sat,sun"),
    ],
)
def test_what_does_not_go_together_is_told_at_its_place(folder: RulesFolder, keys: str, mistake: str) -> None:
    """One message, at the key that can be changed."""
    (found,) = folder.mistakes_in(SMALLEST + keys)
    assert mistake in found


@pytest.mark.parametrize(
    "keys",
    [
        "throttle: {every: 1h, per: a}\ncount: {at_least: 2, within: 1m, per: a}\n",
        "throttle: {every: 1h}\nfire: once\n",
        "throttle: {every: 1h}\nordering: rule\n",
        "digest: {every: 1h, per: a}\nactive: {hours: '09:00-18:00'}\nmax_age: 2d\n",
        f"count: {{at_least: {MOST_COUNTED}, within: 1d, per: [user, site]}}\n",
    ],
)
def test_what_goes_together(folder: RulesFolder, keys: str) -> None:
    """No message."""
    assert folder.rule(SMALLEST + keys).enabled
