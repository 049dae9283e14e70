"""The programs of docs/topics.md run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from mtrigger.embedded import EmbeddedServer
from support.command import Running

PAGE = Path(__file__).parents[2] / "docs" / "topics.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def started(program: str, uri: str, state_db: str) -> Running:
    """The program as a process of its own."""
    environment = {"MTRIGGER_URI": uri, "MTRIGGER_STATE_DB": state_db, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    return Running(process, "a program of docs/topics.md")


async def test_the_programs_of_the_page_publish_and_consume(
    mongod: EmbeddedServer, database: AsyncDatabase[dict[str, Any]]
) -> None:
    """One publishes and ends; the other consumes until it is asked to end."""
    publishing, consuming = PROGRAMS
    first = started(publishing, mongod.uri, database.name)
    assert first.wait() == 0, first.output
    assert first.stdout.splitlines() == [
        "1 eu {'order': 7, 'total': 12000}",
        "2 us {'order': 8, 'total': 15000}",
    ]
    second = started(consuming, mongod.uri, database.name)
    try:
        second.wait_for_line("priced 7")
        second.wait_for_line("priced 8")
        assert second.terminate() == 0, second.output
    finally:
        second.end_group()
