"""Places in a topic as they are named on the command line, and topics that are not there."""

from collections.abc import Collection

import click

from mtrigger.config_types import closest
from mtrigger.errors import MtriggerError
from mtrigger.topics.log import From, TopicLog
from mtrigger.topics.starts import parse_start


def read_from(text: str) -> From:
    """The place that `text` names. Raises UsageError."""
    try:
        return parse_start(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


async def behind(log: TopicLog, start: From | None, last: int) -> int:
    """The offset behind which to read in order to begin at `start`; for None so that `last` messages are
    left. Raises PositionError."""
    if start is not None:
        return await log.position(start)
    extent = await log.extent()
    return max(extent.first - 1, extent.next - 1 - last)


def no_topic(name: str, names: Collection[str]) -> MtriggerError:
    """What to say when there is no topic `name` among the `names`."""
    near = closest(name, names)
    hint = f"did you mean {near}?" if near else "`mtrigger topic list` lists those that are there"
    return MtriggerError(f"there is no topic {name}; {hint}")
