"""The examples while one of their parts is killed again and again. Run it long with `make stories`:

    python tests/faults/stories.py big-orders|pricing --kills 40 [--seed 1]

Prints what it did and what was wrong with it; exits with 1 if anything was.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

from acceptance.stories.big_orders import CONNECTIONS, BigOrders
from acceptance.stories.enduring import endure
from acceptance.stories.pricing import Pricing
from support.command import MtriggerCommand
from support.smtp_sink import SmtpSink

PATIENCE_SECONDS = 120.0


async def _main(name: str, kills: int, seed: int) -> int:
    chance, began = random.Random(seed), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mtrigger-story-") as folder, closing(SmtpSink()) as mail:
        command = MtriggerCommand(Path(folder))
        async with _told(name, command, mail, seed) as story:
            names = (*story.parts.names, *((CONNECTIONS,) if name == "big-orders" else ()))
            try:
                await endure(story, chance.choices(names, k=kills), PATIENCE_SECONDS)
                story.parts.end()
            except BaseException:
                print(command.report()[-20_000:], file=sys.stderr)
                raise
            wrong, arrived = await story.judge(), await story.arrived()
    told = f"{name}, seed {seed}: {kills} kills in {time.monotonic() - began:.0f} s, {arrived} arrived"
    print("\n".join([told, *(wrong or ["nothing is wrong"])]))
    return 1 if wrong else 0


def _told(
    name: str, command: MtriggerCommand, mail: SmtpSink, seed: int
) -> AbstractAsyncContextManager[BigOrders | Pricing]:
    return BigOrders.told(command, mail, seed) if name == "big-orders" else Pricing.told(command, seed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("story", choices=("big-orders", "pricing"))
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    sys.exit(asyncio.run(_main(given.story, given.kills, given.seed)))
