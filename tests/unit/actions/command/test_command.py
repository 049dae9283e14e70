"""A program gets exactly its arguments and none of our secrets, tells what comes of the delivery by its exit
code, and leaves nothing behind."""

import asyncio
import ctypes
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, ObjectId

from mtrigger.actions.command import (
    KIND,
    Command,
    CommandConfig,
    CommandFailed,
    find_program,
    not_found,
    passed_on,
)
from mtrigger.actions.services import Services
from mtrigger.errors import PermanentError
from mtrigger.templates import Templates
from support.polling import eventually
from support.works import DELIVERY_ID, work_for_document

WORK = work_for_document({"_id": 1, "name": "a"})


def command(*run: str, **settings: Any) -> Command:
    """The action for `run`."""
    action = KIND.open(CommandConfig.model_validate({"run": run, **settings}), Services(Templates(None)))
    assert isinstance(action, Command)
    return action


def python(program: str, *arguments: str, **settings: Any) -> Command:
    """The action for a program written in Python."""
    return command(sys.executable, "-c", program, *arguments, **settings)


def shell(script: str, *arguments: str, **settings: Any) -> Command:
    """The action for a shell script."""
    return command("/bin/sh", "-c", script, "sh", *arguments, **settings)


def alive(pid: int) -> bool:
    """Whether the process runs: a zombie that waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def exists(pid: int) -> bool:
    """Whether the process is there, as a zombie at least."""
    return Path(f"/proc/{pid}").exists()


def running_with(argument: str) -> list[str]:
    """The processes that have this argument."""
    return [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if exists(int(path.parent.name)) and argument.encode() in path.read_bytes().split(b"\0")
    ]


HOSTILE = ["a b", "$(touch pwned); `id` | cat > x", "--force", "'\"\\", "*", "", "line\nline", "\u00fc\u20ac"]


async def test_a_value_is_one_argument_whatever_it_holds(tmp_path: Path) -> None:
    """Nothing is split, nothing is interpreted."""
    told = tmp_path / "told"
    program = f"import json, sys; open({str(told)!r}, 'w').write(json.dumps(sys.argv[1:]))"
    templates = [f"{{{{ document.values[{place}] }}}}" for place in range(len(HOSTILE))]
    await python(program, *templates, "x{{ document._id }}y").run(
        work_for_document({"_id": 5, "values": HOSTILE})
    )
    assert json.loads(told.read_text()) == [*HOSTILE, "x5y"]


async def test_the_event_comes_as_json_on_standard_input(tmp_path: Path) -> None:
    """The data of the standard message and the event, with the types of BSON."""
    told = tmp_path / "told"
    document = {"_id": ObjectId("0123456789abcdef01234567"), "amount": Decimal128("1.50")}
    await shell(f"cat > {told}").run(work_for_document(document))
    said = json.loads(told.read_text())
    assert said["document"] == {
        "_id": {"$oid": "0123456789abcdef01234567"},
        "amount": {"$numberDecimal": "1.50"},
    }
    assert (said["rule"], said["operation"], said["namespace"]) == ("big-order", "insert", "shop.orders")
    assert (said["delivery_id"], said["event"]["id"]) == (DELIVERY_ID, "8265")
    assert {"before", "changed"} <= set(said)


async def test_a_program_need_not_read_what_it_is_sent() -> None:
    """Not even megabytes."""
    work = work_for_document({"_id": 1, "text": "x" * 4_000_000})
    assert await shell("exec 0<&-; echo done").run(work) == "done"


async def test_what_it_prints_first_is_the_account_and_all_of_it_is_read() -> None:
    """However much it prints: a program never waits for us."""
    program = "import sys; print('sent as 17'); sys.stdout.write('x' * 3_000_000)"
    program += "; sys.stderr.write('y' * 3_000_000)"
    assert await python(program).run(WORK) == "sent as 17"


async def test_an_account_is_short() -> None:
    """One line of bounded length."""
    assert await python("print('x' * 100_000)").run(WORK) == "x" * 200


@pytest.mark.parametrize(
    ("script", "error", "message"),
    [
        ("exit 75", CommandFailed, "/bin/sh ended with exit code 75"),
        ("exit 1", PermanentError, "/bin/sh ended with exit code 1"),
        ("exit 78", PermanentError, "/bin/sh ended with exit code 78"),
        ("echo one >&2; echo two >&2; exit 3", PermanentError, "/bin/sh ended with exit code 3: one two"),
        ("kill -9 $$", CommandFailed, "/bin/sh was ended by SIGKILL"),
        ("kill -TERM $$", CommandFailed, "/bin/sh was ended by SIGTERM"),
    ],
)
async def test_how_it_ends_says_what_becomes_of_the_delivery(
    script: str, error: type[Exception], message: str
) -> None:
    """75 and signals are tried again by the policy, every other code is final."""
    with pytest.raises(error) as raised:
        await shell(script).run(WORK)
    assert str(raised.value) == message


async def test_the_last_lines_of_many_are_told() -> None:
    """What went wrong stands at the end."""
    with pytest.raises(PermanentError) as raised:
        await shell("i=0; while [ $i -lt 5000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1").run(WORK)
    assert str(raised.value).endswith("line 4998 line 4999")
    assert len(str(raised.value)) < 1_100


async def test_its_environment_holds_what_is_asked_for_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing of mtrigger's own settings, nothing else that happens to be there."""
    monkeypatch.setenv("MTRIGGER_SMTP_URL", "smtp://user:password@host")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("TZ", "Asia/Seoul")
    told = tmp_path / "told"
    program = f"import json, os; open({str(told)!r}, 'w').write(json.dumps(dict(os.environ)))"
    settings = {"environment": {"WHO": "{{ document.name }}"}}
    await python(program, **settings).run(work_for_document({"_id": 1, "name": "A\nB=c"}))
    found = json.loads(told.read_text())
    assert (found["WHO"], found["TZ"], found["PATH"]) == ("A\nB=c", "Asia/Seoul", os.environ["PATH"])
    assert {name for name in found if name.startswith("MTRIGGER_")} == {
        "MTRIGGER_RULE",
        "MTRIGGER_DELIVERY_ID",
        "MTRIGGER_ATTEMPT",
    }
    assert (found["MTRIGGER_RULE"], found["MTRIGGER_DELIVERY_ID"]) == ("big-order", DELIVERY_ID)
    assert "AWS_SECRET_ACCESS_KEY" not in found


def test_only_what_every_program_needs_is_passed_on() -> None:
    """By name, in full."""
    given = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "HOME": "/root",
        "PATHOLOGY": "x",
        "MTRIGGER_URI": "x",
        "TOKEN": "x",
    }
    assert passed_on(given) == {b"PATH": b"/bin", b"LC_ALL": b"C", b"HOME": b"/root"}


async def test_a_secret_that_it_was_given_is_not_told_on() -> None:
    """Neither from standard output nor from standard error."""
    settings = {"environment": {"TOKEN": "s3cret-token"}}
    assert await shell("echo got $TOKEN", **settings).run(WORK) == "got ***"
    with pytest.raises(PermanentError) as raised:
        await shell("echo bad $TOKEN at https://u:pw@host >&2; exit 1", **settings).run(WORK)
    assert str(raised.value) == "/bin/sh ended with exit code 1: bad *** at https://u:***@host"
    assert "s3cret-token" not in str(command("/bin/sh", **settings).preview(WORK))


@pytest.mark.parametrize(
    "settings",
    [
        {"run": ["/bin/echo", "{{ document.name }}"]},
        {"run": ["/bin/echo"], "environment": {"A": "{{ document.name }}"}},
    ],
)
async def test_nul_is_no_part_of_an_argument(settings: Mapping[str, Any]) -> None:
    """Trying again would not help; a text cut short there could mean something else."""
    action = KIND.open(CommandConfig.model_validate(settings), Services(Templates(None)))
    with pytest.raises(PermanentError, match="holds a NUL character"):
        await action.run(work_for_document({"_id": 1, "name": "a\0b"}))


async def test_it_runs_in_its_directory(tmp_path: Path) -> None:
    """Where its settings say."""
    assert await shell("pwd", directory=str(tmp_path)).run(WORK) == str(tmp_path)


@pytest.mark.parametrize("program", ["/nowhere/notify.sh", "no-such-program-here"])
async def test_a_program_that_is_gone_is_no_use_trying_again(program: str) -> None:
    """It may have been there when the rules were checked."""
    with pytest.raises(PermanentError, match="there is no program"):
        await command(program).run(WORK)


async def test_a_file_that_is_no_program_is_no_use_trying_again(tmp_path: Path) -> None:
    """It cannot be started, or only as a script that makes no sense."""
    script = tmp_path / "script"
    script.write_bytes(b"\x00\x01\x02")
    script.chmod(0o755)
    with pytest.raises(
        PermanentError, match=r"/script (cannot be run: Exec format error|ended with exit code 127)"
    ):
        await command(str(script)).run(WORK)


STUBBORN = "trap '' TERM; sleep 60 & echo $! $$ > PIDS; while :; do sleep 60; done"
POLITE = "sleep 60 & echo $! $$ > PIDS; wait"


@pytest.mark.parametrize("script", [POLITE, STUBBORN], ids=["polite", "stubborn"])
async def test_whoever_takes_too_long_is_ended_with_all_it_started(script: str, tmp_path: Path) -> None:
    """Asked first, killed if that does not help."""
    pids = tmp_path / "pids"
    with pytest.raises(CommandFailed, match=r"^/bin/sh took longer than 1 s and was ended"):
        await shell(script.replace("PIDS", str(pids)), timeout="1s").run(WORK)
    assert [pid for pid in map(int, pids.read_text().split()) if alive(pid)] == []


@pytest.mark.parametrize("script", [POLITE, STUBBORN], ids=["polite", "stubborn"])
async def test_when_an_attempt_is_given_up_nothing_goes_on(script: str, tmp_path: Path) -> None:
    """As at the end of mtrigger."""
    pids = tmp_path / "pids"
    attempt = asyncio.create_task(shell(script.replace("PIDS", str(pids))).run(WORK))
    await eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert [pid for pid in map(int, pids.read_text().split()) if alive(pid)] == []


async def test_an_attempt_may_be_given_up_at_any_moment(tmp_path: Path) -> None:
    """Also while its program is being started."""
    script = '/bin/sh -c "sleep 60; exit" sh "$1"; exit'
    for moment in (0, 1, 2, 3, 5, 8):
        attempt = asyncio.create_task(shell(script, str(tmp_path)).run(WORK))
        for _ in range(moment):
            await asyncio.sleep(0)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        assert running_with(str(tmp_path)) == []


async def test_what_it_leaves_in_the_background_ends_with_it(tmp_path: Path) -> None:
    """Also when it holds on to the output."""
    pids = tmp_path / "pids"
    assert await shell(f"sleep 60 & echo $! > {pids}; echo done").run(WORK) == "done"
    assert not alive(int(pids.read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process be such a parent")
async def test_where_mtrigger_is_the_first_process_no_zombie_is_left(
    tmp_path: Path,
) -> None:
    """As in a container, it is then the parent of whoever has lost his own."""
    set_child_subreaper = 36
    libc = ctypes.CDLL(None)
    pids = tmp_path / "pids"
    libc.prctl(set_child_subreaper, 1)
    try:
        assert await shell(f"sleep 60 & sleep 60 & echo $! > {pids}; echo done").run(WORK) == "done"
    finally:
        libc.prctl(set_child_subreaper, 0)
    assert not exists(int(pids.read_text()))


async def test_what_left_its_group_is_not_waited_for(tmp_path: Path) -> None:
    """`setsid` is how a program starts something that outlives it."""
    pids = tmp_path / "pids"
    script = (
        f"import os, sys, time\nos.setsid()\nopen({str(pids)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    )
    starts = f'{sys.executable} -c "$1" & while ! [ -s {pids} ]; do sleep 0.05; done; echo done'
    assert await shell(starts, script).run(WORK) == "done"
    assert alive(int(pids.read_text()))
    os.kill(int(pids.read_text()), 9)


async def test_no_more_run_at_once_than_there_are_places(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever waits for a place is not yet being timed."""
    monkeypatch.setattr("mtrigger.actions.processes.PROCESSES", 1)
    action = shell(f"mkdir {tmp_path}/alone && sleep 0.6 && rmdir {tmp_path}/alone", timeout="2s")
    await asyncio.gather(*(action.run(WORK) for _ in range(4)))


def test_a_preview_is_what_one_could_type() -> None:
    """Quoted as a shell wants it."""
    preview = command("/bin/echo", "--", "{{ document.name }}", environment={"A": "b"}).preview(
        work_for_document({"_id": 1, "name": "a b;c"})
    )
    assert preview.summary == "command: /bin/echo -- 'a b;c'"
    assert preview.parts["Command"] == "/bin/echo -- 'a b;c'"
    assert preview.parts["Environment"] == "A=***"
    assert json.loads(preview.parts["Standard input"])["document"] == {"_id": 1, "name": "a b;c"}


def test_a_program_is_found_on_the_path_or_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is wrong with one that is not says where it was looked for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_text("#!/bin/sh\n")
    assert find_program("sh")
    assert find_program("./mine") is None
    assert not_found("./mine") == "`./mine` cannot be executed; make it executable: chmod +x ./mine"
    (tmp_path / "mine").chmod(0o755)
    assert find_program("./mine") == str(tmp_path / "mine")
    assert find_program("mine") is None
    assert not_found("mine") == "there is no program `mine` on the PATH"
    assert (
        not_found("./no") == "there is no program `./no`, looked for in the directory that mtrigger runs in"
    )
