"""The benchmarks run: each of them with a handful of events, all at once. No time is looked at: that every
change was delivered once is what the benchmarks themselves insist on."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from mtrigger.embedded import EmbeddedServer

PROJECT = Path(__file__).parents[2]
TABLE = ("catching_up", "acting", "updates", "webhooks", "mails", "latency", "memory", "processes")
ROWS = {"catching_up": 3, "updates": 2, "latency": 2, "memory": 2, "processes": 2}
SMALL = ("--events", "10", "--rounds", "1", "--json")


def test_every_benchmark_tells_what_it_measured(mongod: EmbeddedServer) -> None:
    """Rows with figures, and a curve for each side of what grows."""
    running = {
        name: subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{name}", *SMALL, "--uri", mongod.uri],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in (*TABLE, "growth")
    }
    found = {name: _told(name, process) for name, process in running.items()}
    for name in TABLE:
        assert len(found[name]) == ROWS.get(name, 1), name
        assert all(row["ours"] > 0 for row in found[name] if row["unit"] != "MB")
    over_rules, over_shares = (growth["curves"] for growth in found["growth"])
    assert over_rules["mtrigger"].keys() == {"1", "10"}
    assert all(len(curve) == 4 for curve in over_shares.values())


def _told(name: str, process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """What a benchmark printed as JSON."""
    try:
        out, err = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 0, f"{name}: {err}"
    told: list[dict[str, Any]] = json.loads(out)
    return told
