"""What operators wish of rules (silences and pauses): the contract, and the store that forgets.

Wishes are asked for by commands and read, once a second, by whoever runs the rules.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from mtrigger.gates import Pause, Silence, Wishes


class WishList(Protocol):
    """All wishes."""

    async def current(self) -> Wishes:
        """What is wished at the moment: silences that have not ended, and pauses; and when rules that are not
        paused were resumed last."""
        ...

    async def silence(self, silence: Silence) -> None:
        """Add a silence."""
        ...

    async def end_silences(self, rule: str) -> int:
        """End all silences of `rule`. Returns how many there were."""
        ...

    async def pause(self, pause: Pause) -> None:
        """Pause a rule; an earlier pause of it is replaced."""
        ...

    async def resume(self, rule: str) -> bool:
        """End the pause of `rule`, and keep when that was. False if there was none."""
        ...


class MemoryWishes:
    """Wishes in two lists."""

    def __init__(self) -> None:
        self._silences: list[Silence] = []
        self._pauses: list[Pause] = []
        self._resumed: dict[str, datetime] = {}

    async def current(self) -> Wishes:
        now = datetime.now(UTC)
        silences = (silence for silence in self._silences if now < silence.until)
        return gathered(silences, self._pauses, self._resumed)

    async def silence(self, silence: Silence) -> None:
        self._silences.append(silence)

    async def end_silences(self, rule: str) -> int:
        before = len(self._silences)
        self._silences = [silence for silence in self._silences if silence.rule != rule]
        return before - len(self._silences)

    async def pause(self, pause: Pause) -> None:
        self._pauses = [*(other for other in self._pauses if other.rule != pause.rule), pause]
        self._resumed.pop(pause.rule, None)

    async def resume(self, rule: str) -> bool:
        before = len(self._pauses)
        self._pauses = [pause for pause in self._pauses if pause.rule != rule]
        if len(self._pauses) == before:
            return False
        self._resumed[rule] = datetime.now(UTC)
        return True


def gathered(silences: Iterable[Silence], pauses: Iterable[Pause], resumed: Mapping[str, datetime]) -> Wishes:
    """Wishes by the names of their rules."""
    by_rule: dict[str, tuple[Silence, ...]] = {}
    for silence in silences:
        by_rule[silence.rule] = (*by_rule.get(silence.rule, ()), silence)
    return Wishes(by_rule, {pause.rule: pause for pause in pauses}, dict(resumed))
