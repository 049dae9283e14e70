"""One connection for all, opened once, replaced when it breaks, and closed when nobody needs it."""

import asyncio

import pytest

from mtrigger.actions import kept_connection as module
from mtrigger.actions.kept_connection import KeptConnection
from support.polling import eventually


class Line:
    """A connection."""

    def __init__(self) -> None:
        self.is_open = True
        self.closed = 0

    async def close(self) -> None:
        """Count it."""
        self.closed += 1
        self.is_open = False


class Server:
    """Gives connections, or none."""

    def __init__(self) -> None:
        self.made: list[Line] = []
        self.asked = 0
        self.up = True

    async def connect(self) -> Line:
        """A new one."""
        self.asked += 1
        await asyncio.sleep(0)
        if not self.up:
            raise ConnectionRefusedError
        self.made.append(Line())
        return self.made[-1]


async def used(kept: KeptConnection[Line]) -> Line:
    """The connection, after a moment of use."""
    async with kept.use() as line:
        await asyncio.sleep(0)
        return line


async def test_all_share_one() -> None:
    """Also those who come while it is opened, and later ones."""
    server = Server()
    kept = KeptConnection(server.connect)
    lines = await asyncio.gather(*(used(kept) for _ in range(5)))
    assert {*lines, await used(kept)} == {server.made[0]}
    await kept.close()
    assert [line.closed for line in server.made] == [1]


async def test_a_failure_is_shared_and_not_kept() -> None:
    """All who wait are told, and the next one tries again."""
    server = Server()
    server.up = False
    kept = KeptConnection(server.connect)
    failures = await asyncio.gather(*(used(kept) for _ in range(3)), return_exceptions=True)
    assert [type(failure) for failure in failures] == [ConnectionRefusedError] * 3
    assert server.asked == 1
    server.up = True
    assert await used(kept) is server.made[0]
    await kept.close()


async def test_one_that_is_given_up_lives_until_its_last_user_has_left() -> None:
    """New ones get another."""
    server = Server()
    kept = KeptConnection(server.connect)
    async with kept.use() as old:
        async with kept.use():
            kept.give_up(old)
        assert old.closed == 0
        assert await used(kept) is not old
    await eventually(lambda: old.closed == 1)
    await kept.close()
    assert [line.closed for line in server.made] == [1, 1]


async def test_one_that_broke_is_replaced() -> None:
    """When somebody asks for it."""
    server = Server()
    kept = KeptConnection(server.connect)
    (await used(kept)).is_open = False
    assert await used(kept) is server.made[1]
    await kept.close()


async def test_one_that_nobody_uses_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when whoever wanted it is gone before it is there."""
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    server = Server()
    kept = KeptConnection(server.connect)
    asking = asyncio.create_task(used(kept))
    await asyncio.sleep(0)
    asking.cancel()
    await eventually(lambda: [line.closed for line in server.made] == [1])
    await used(kept)
    await eventually(lambda: [line.closed for line in server.made] == [1, 1])
    await kept.close()
