"""`mtrigger topic`: what topics hold and who reads them, from the terminal.

A command is a module or two of this folder. They load the driver when they are called, so that `--help`
answers at once.
"""

import click

from mtrigger.cli.topic.group_list import groups
from mtrigger.cli.topic.keeping import delete, set_topic
from mtrigger.cli.topic.listing import list_topics
from mtrigger.cli.topic.publishing import publish
from mtrigger.cli.topic.resetting import reset
from mtrigger.cli.topic.tailing import tail


@click.group()
def topic() -> None:
    """Look at topics, publish into them, and say where their groups go on.

    A topic is the collection `topics.NAME` of the state database. Any program may publish by inserting there.
    """


for _command in (list_topics, publish, tail, groups, reset, set_topic, delete):
    topic.add_command(_command)
