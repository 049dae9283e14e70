"""Run an example, all of it, on this machine:

    python examples/run.py big-orders | pricing [--count 20] [--every 1.0] [--port 8025]

It goes on until Ctrl-C, or until so many things have happened. Then it waits until they have arrived
everywhere, and says whether anything is missing: it ends with 1 if something is.
"""

import asyncio
import importlib
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import click
from stage import Check, Stage, Story, stage

from mtrigger.errors import MtriggerError

HERE = Path(__file__).parent
Telling = Callable[[Stage], AbstractAsyncContextManager[Story]]

ARRIVES_WITHIN = 60.0
"""Seconds."""


@click.command()
@click.argument("name", type=click.Choice(["big-orders", "pricing"]))
@click.option("--count", type=click.IntRange(1), help="End after so many.  [default: at Ctrl-C]")
@click.option("--every", type=click.FloatRange(0), default=1.5, show_default=True, help="Seconds.")
@click.option("--port", default=8025, show_default=True, help="Of the page with the mails; 0: any.")
def main(name: str, count: int | None, every: float, port: int) -> None:
    """Run an example, and see that nothing is missing in the end."""
    try:
        sys.exit(asyncio.run(_run(name, count, every, port)))
    except (MtriggerError, ExceptionGroup) as error:
        told = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
        sys.exit("\n".join(map(str, told)))


async def _run(name: str, count: int | None, every: float, port: int) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sys.path.insert(0, str(HERE / name))
    tell: Telling = importlib.import_module(name.replace("-", "_")).told
    async with stage(HERE / name, port) as on, tell(on) as story:
        click.secho(f"\n  The mails:   {on.mailbox.http_url}", bold=True)
        click.echo(f"  To look on:  export MTRIGGER_URI='{on.uri}'\n  Ctrl-C ends it.\n")
        async with on.playing(story):
            happened = 0
            while not stop.is_set() and happened != count:
                on.say(name, await story.happen())
                happened += 1
                await _pause(stop, every)
            click.secho("\nWaiting until all of it has arrived …", bold=True)
            checks = await _arrived(story)
    return _summary(checks)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def _arrived(story: Story) -> list[Check]:
    """The checks when all of them hold, or as they are after a while."""
    end = asyncio.get_running_loop().time() + ARRIVES_WITHIN
    checks = await story.checks()
    while any(check.wrong for check in checks) and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.2)
        checks = await story.checks()
    return checks


def _summary(checks: list[Check]) -> int:
    width = max(len(check.place) for check in checks)
    for check in checks:
        repeated = sum(count - 1 for count in check.found.values())
        repeats = f" (and {repeated} again)" if repeated else ""
        line = f"  {check.place:<{width}}  {len(check.found):>4} of {len(check.wanted)}{repeats}"
        click.secho(f"{line}  {check.wrong or 'all there'}", fg="red" if check.wrong else "green")
    return int(any(check.wrong for check in checks))


if __name__ == "__main__":
    main()
