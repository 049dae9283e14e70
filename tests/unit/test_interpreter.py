"""How Python runs while the engine does."""

import asyncio
import gc

from mtrigger.supervision.interpreter import collecting_seldom, run


def test_the_fastest_loop_is_used_where_it_is_installed() -> None:
    """It is among what the tests need, so every started command runs on it."""
    loops: list[str] = []

    async def main() -> None:
        loops.append(type(asyncio.get_running_loop()).__module__)

    run(main())

    assert loops == ["uvloop"]


def test_garbage_is_looked_for_as_before_once_the_engine_has_ended() -> None:
    """What was there when it began is left out meanwhile."""
    before = gc.get_threshold()

    with collecting_seldom():
        assert gc.get_threshold()[0] > before[0]
        assert gc.get_freeze_count() > 0

    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
