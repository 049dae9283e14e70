"""The benchmarks run: each of them with a handful of events, all at once. No time is looked at: that every
change was delivered once is what the benchmarks themselves insist on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from mtrigger.embedded import EmbeddedServer
from support.sql_servers import POSTGRESQL, connected_or_skip

PROJECT = Path(__file__).parents[2]
TABLE = (
    "catching_up", "acting", "updates", "webhooks", "mails", "latency", "memory", "processes", "stream",
    "topics",
)  # fmt: skip
ROWS = {"catching_up": 3, "updates": 2, "latency": 2, "memory": 2, "processes": 2, "topics": 2}
ALONE = {"check": ("--files", "1", "--runs", "1"), "conditions": ("--calls", "10")}
"""Those that print what people read."""

SMALL = ("--events", "10", "--rounds", "1", "--json")


def test_every_benchmark_tells_what_it_measured(mongod: EmbeddedServer) -> None:
    """Rows with figures, and a curve for each side of what grows."""
    options = dict.fromkeys((*TABLE, "growth"), (*SMALL, "--uri", mongod.uri))
    running = {name: _start(name, *given) for name, given in options.items()}
    found = {name: json.loads(_printed(name, process)) for name, process in running.items()}
    for name in TABLE:
        assert len(found[name]) == ROWS.get(name, 1), name
        assert all(row["ours"] > 0 for row in found[name] if row["unit"] != "MB")
    over_rules, over_shares = (growth["curves"] for growth in found["growth"])
    assert over_rules["mtrigger"].keys() == {"1", "10"}
    assert all(len(curve) == 4 for curve in over_shares.values())


def test_rows_of_a_database_are_counted(mongod: EmbeddedServer) -> None:
    """Both sides have copied all of them, or there would be no row."""
    engine = sa.create_engine(POSTGRESQL)
    try:
        connected_or_skip(engine, "postgresql")
    finally:
        engine.dispose()
    found = json.loads(_printed("sources", _start("sources", *SMALL, "--uri", mongod.uri)))
    assert [row["unit"] for row in found] == ["rows/s", "MB"]


@pytest.mark.parametrize("name", ALONE)
def test_a_benchmark_without_a_server_runs(name: str) -> None:
    """With one rule file, and a few calls of a condition."""
    assert len(_printed(name, _start(name, *ALONE[name])).splitlines()) >= 3


def _start(name: str, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{name}", *options],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _printed(name: str, process: subprocess.Popen[str]) -> str:
    """What a benchmark printed, once it has ended well."""
    try:
        out, err = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 0, f"{name}: {err}"
    return out
