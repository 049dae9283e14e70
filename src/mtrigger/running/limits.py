"""How many attempts of a rule may run at the same time, all its actions together (`concurrency:` of a rule).

Pure: no I/O, no clock. Two promises: nothing begins while as many run as the rule allows, also after a reload
that allows fewer; and the lines of a rule take turns, so an action with much to do never starves another.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from mtrigger.stores.base import LineKey


class RuleLimits:
    """The attempts that run, counted for each rule, and the lines that wait for a place."""

    def __init__(self) -> None:
        self._most: Mapping[str, int] = {}
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, dict[LineKey, None]] = {}

    def use(self, most: Mapping[str, int]) -> None:
        """Hold rules to these limits from now on; a rule without one has none. What runs is counted on."""
        self._most = most
        self._waiting.clear()  # whoever changes the limits looks at every line anew

    def admits(self, rule: str) -> bool:
        """Whether one more attempt of `rule` may begin."""
        most = self._most.get(rule)
        return most is None or self._running[rule] < most

    def began(self, line: LineKey) -> None:
        """An attempt of `line` runs from now on."""
        self._running[line.rule] += 1

    def waits(self, line: LineKey) -> None:
        """`line` was not admitted: `ended` will name it in its turn."""
        self._waiting.setdefault(line.rule, {}).setdefault(line)

    def ended(self, line: LineKey) -> Iterator[LineKey]:
        """An attempt of `line` has ended: the lines that may look for their next one now, each in its turn.

        Those that have waited come first. What is begun between two of them counts, so the last ones may
        have to wait on.
        """
        self._running[line.rule] -= 1
        if line.rule not in self._most:
            yield line
            return
        self.waits(line)
        waiting = self._waiting[line.rule]
        for _ in range(len(waiting)):
            if not waiting or not self.admits(line.rule):
                return
            first = next(iter(waiting))
            del waiting[first]
            yield first
