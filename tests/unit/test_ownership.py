"""Who may own a stream and for how long: the decisions, and what can be known of another process."""

import ast
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.ownership import lease as ownership
from mtrigger.ownership import processes, standby
from mtrigger.ownership import tenure as leases
from mtrigger.ownership.lease import Claim, Lease, Standing, Stillness, claim, standing
from mtrigger.ownership.processes import Process, is_gone, shown, this_process
from support.polling import eventually_sync

OTHER = Lease("elsewhere", epoch=4, counter=9, seconds=15.0)
RELEASED = replace(OTHER, released=True)

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux has /proc")


@pytest.mark.parametrize(
    ("seen", "still_for", "abandoned", "expected"),
    [
        (None, 0.0, False, Claim.NEVER_HELD),
        (RELEASED, 0.0, False, Claim.RELEASED),
        (OTHER, 0.0, False, Claim.HELD),
        (OTHER, 14.999, False, Claim.HELD),
        (OTHER, 15.0, False, Claim.SILENT),
        (OTHER, 0.0, True, Claim.ABANDONED),
        (replace(OTHER, owner="me"), 0.0, False, Claim.MINE),
        (replace(OTHER, owner="me"), 99.0, False, Claim.MINE),
        (replace(OTHER, seconds=60.0), 30.0, False, Claim.HELD),
    ],
)
def test_a_stream_is_taken_only_when_nobody_can_believe_to_own_it(
    seen: Lease | None, still_for: float, abandoned: bool, expected: Claim
) -> None:
    """Never held, given back, abandoned, or silent for the *holder's* lease time."""
    assert claim(seen, "me", still_for, abandoned) is expected


@pytest.mark.parametrize(
    ("unconfirmed_for", "expected"),
    [
        (0.0, Standing.HELD),
        (9.999, Standing.HELD),
        (10.0, Standing.DOUBTFUL),
        (14.999, Standing.DOUBTFUL),
        (15.0, Standing.EXPIRED),
        (1e9, Standing.EXPIRED),
    ],
)
def test_a_holder_stops_at_two_thirds_of_its_lease_time(unconfirmed_for: float, expected: Standing) -> None:
    """It begins nothing from then on, and lets nothing run on when the lease time is over."""
    assert standing(unconfirmed_for, 15.0) is expected


def test_stillness_is_counted_from_an_answer_to_a_question() -> None:
    """The time that answers take is never counted as stillness; any movement begins it anew."""
    stillness = Stillness()
    assert stillness.of(OTHER, asked_at=100.0, answered_at=103.0) == 0.0
    assert stillness.of(OTHER, asked_at=110.0, answered_at=150.0) == 7.0
    assert stillness.of(replace(OTHER, counter=10), asked_at=151.0, answered_at=152.0) == 0.0
    assert stillness.of(replace(OTHER, counter=10), asked_at=160.0, answered_at=160.0) == 8.0
    assert stillness.of(replace(OTHER, counter=10, epoch=5), asked_at=161.0, answered_at=161.0) == 0.0
    assert stillness.of(replace(OTHER, counter=10, epoch=5, owner="x"), 190.0, 190.0) == 0.0


@given(
    renewals=st.lists(st.floats(0.1, 30.0), min_size=1, max_size=8),
    way=st.floats(0.0, 5.0),
    looks=st.lists(st.floats(0.01, 6.0), min_size=1, max_size=40),
    seconds=st.floats(1.0, 20.0),
)
def test_nobody_takes_over_while_the_holder_may_still_act(
    renewals: list[float], way: float, looks: list[float], seconds: float
) -> None:
    """However late messages arrive: when a candidate may begin, the holder's last renewal was sent at least a
    lease time ago."""
    sent, moment = [0.0], 0.0
    for pause in renewals:
        moment += pause
        sent.append(moment)
    stillness, now = Stillness(), 0.0
    for pause in looks:
        asked_at, answered_at = now, now + way
        applied = [at for at in sent if at + way <= answered_at]  # a renewal takes its way to the database
        if applied:
            seen = Lease("holder", 1, len(applied), seconds)
            if claim(seen, "me", stillness.of(seen, asked_at, answered_at), False) is Claim.SILENT:
                confirmed = [at for at in sent if at + way <= asked_at]
                assert standing(asked_at - confirmed[-1], seconds) is Standing.EXPIRED
        now = answered_at + pause


def test_no_time_of_day_decides() -> None:
    """A clock that is set back or forth moves no lease: nothing here even looks at one."""
    for module in (ownership, leases, standby, processes):
        assert module.__file__ is not None
        tree = ast.parse(Path(module.__file__).read_text())
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        imported = {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
        }
        assert not {"datetime", "date"} & (names | imported)
        assert not {"time_ns", "now", "utcnow", "localtime", "gmtime"} & called
        assert "time.time(" not in Path(module.__file__).read_text()


def test_an_owner_is_read_back_from_its_text() -> None:
    """And shown without what only machines need."""
    owner = Process("web-1", 4711, "8812", "3f2a:4026531836:4026531834", "ab12cd34")
    assert Process.parse(str(owner)) == owner
    assert shown(str(owner)) == "web-1 (process 4711)"
    for other in ("", "somebody", "a/b/c/d/e", "web-1/4711", "a/1/2/3/4/5"):
        assert Process.parse(other) is None
    assert shown("somebody") == "somebody"
    assert shown("") == "nobody"


def test_every_run_is_told_apart() -> None:
    """Two engines in one process are two candidates."""
    assert this_process() != this_process()


@linux
def test_a_process_that_ended_on_this_machine_is_gone() -> None:
    """Also one that nobody has waited for yet, and one whose number belongs to another process by now."""
    program = (
        "from mtrigger.ownership.processes import this_process; print(this_process(), flush=True); input()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        text = child.stdout.readline().strip()
        owner = Process.parse(text)
        assert owner is not None
        assert owner.pid == child.pid
        assert not is_gone(text)
        assert is_gone(str(replace(owner, started=str(int(owner.started) - 1))))

        os.kill(child.pid, signal.SIGSTOP)
        assert not is_gone(text)
        os.kill(child.pid, signal.SIGKILL)
        eventually_sync(lambda: is_gone(text))  # a zombie: we have not waited for it
        child.wait()
        assert is_gone(text)


@linux
@pytest.mark.parametrize("machine", ["", "another boot:4026531836:4026531834"])
def test_what_ran_elsewhere_may_still_run(machine: str) -> None:
    """Another machine, another boot, another container: nothing can be known of it from here."""
    nowhere = Process("web-2", 2**22 - 1, "1", machine, "ab12cd34")
    assert not is_gone(str(nowhere))
    assert is_gone(str(replace(nowhere, machine=this_process().machine)))


def test_a_text_of_somebody_else_is_nobodys_proof() -> None:
    """What cannot be read is waited for."""
    assert not is_gone("somebody")
    assert not is_gone("")
