"""What tells that something is over (`resolved:`) waits for what told of it. Pure.

Promise: as long as an alert about a document waits in its own line (for a retry, its hours, a server that is
down), the message that it is over is not handed out. In a digest, which is about many, nothing is waited for.
"""

from collections.abc import Mapping

from mtrigger.deliveries import Delivery
from mtrigger.running.attempting import Runner
from mtrigger.running.lanes import Line
from mtrigger.stores.base import LineKey


class Endings:
    """The lines of rules with `resolved`, among all `lines`."""

    def __init__(self, lines: Mapping[LineKey, Line]) -> None:
        self._lines = lines
        self._alerts: dict[str, tuple[LineKey, ...]] = {}

    def use(self, runners: Mapping[LineKey, Runner]) -> None:
        """Go by the rules of these runners from now on."""
        self._alerts = {}
        for key, runner in runners.items():
            if runner.rule.resolved and runner.rule.digest is None:
                self._alerts[key.rule] = (*self._alerts.get(key.rule, ()), key)

    def is_early(self, delivery: Delivery) -> bool:
        """Whether `delivery` tells the end of something that is still to be told."""
        alerts = self._alerts.get(delivery.rule)
        if alerts is None or LineKey(delivery.rule, delivery.action) in alerts:
            return False
        lines = (self._lines.get(key) for key in alerts)
        return any(line is not None and line.waits_before(delivery) for line in lines)
