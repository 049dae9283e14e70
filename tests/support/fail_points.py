"""Faults that `mongod` itself makes on request (`failCommand`, with `enableTestCommands=1`)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pymongo import AsyncMongoClient

Mode = str | dict[str, int]


@asynccontextmanager
async def failing_commands(
    client: AsyncMongoClient[dict[str, Any]],
    commands: Sequence[str],
    *,
    app_name: str,
    mode: Mode = "alwaysOn",
    **data: Any,
) -> AsyncIterator[None]:
    """While this lasts, `commands` of the clients named `app_name` fail as `data` says (`errorCode`,
    `closeConnection`, `errorLabels`, or `blockConnection` with `blockTimeMS`): all of them, or
    `{"times": n}`."""
    what = {"failCommands": list(commands), "appName": app_name, **data}
    await client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": what})
    try:
        yield
    finally:
        await client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


async def times_failed(client: AsyncMongoClient[dict[str, Any]]) -> int:
    """How often `failCommand` has acted since the server started."""
    answer = await client.admin.command({"getParameter": 1, "failpoint.failCommand": 1})
    return int(answer["failpoint.failCommand"]["timesEntered"])
