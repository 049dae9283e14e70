"""Actions that run a program, through the installed command: hostile documents, exit codes, and the end of
all that was started."""

import json
from pathlib import Path

from acceptance.shop import Shop
from support.polling import eventually

RULE = """
on: {collection: SHOP.orders}
do:
  - command: COMMAND
retry: {first_delay: 50ms, max_delay: 100ms, attempts: 5}
"""


def program(shop: Shop, name: str, script: str) -> None:
    """An executable script in the folder that mtrigger runs in."""
    path = shop.folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def lines(shop: Shop, name: str) -> list[str]:
    """The lines of a file that a script wrote, none while it is not there."""
    path = shop.folder / name
    return path.read_text().splitlines() if path.exists() else []


def running(pid: str) -> bool:
    """Whether the process runs: a zombie that waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_program_gets_its_arguments_whole_and_the_event_on_standard_input(shop: Shop) -> None:
    """Whatever the document holds is one argument, and no shell sees it."""
    program(shop, "keep.sh", 'printf "%s\\0" "$#" "$@" > "args-$1"; cat > "event-$1"; echo "kept $1"')
    shop.rule("keep", RULE.replace("COMMAND", '[./keep.sh, "{{ document._id }}", "{{ document.name }}", --]'))
    shop.watch()
    name = "--x; touch pwned; $(touch pwned) `touch pwned` 'a b' \"c\"\n*"
    await shop.orders.insert_one({"_id": "7", "name": name})

    row = await shop.delivery({"status": "delivered"})

    assert row["log"][-1]["detail"] == "kept 7"
    assert (shop.folder / "args-7").read_text().split("\0") == ["3", "7", name, "--", ""]
    said = json.loads((shop.folder / "event-7").read_text())
    assert (said["document"]["name"], said["operation"], said["delivery_id"]) == (name, "insert", row["_id"])
    assert said["event"]["collection"] == "orders"
    assert not (shop.folder / "pwned").exists()


async def test_a_program_sees_none_of_the_secrets_of_mtrigger(shop: Shop) -> None:
    """Of the variables with mtrigger's name only those that are meant for it."""
    program(shop, "env.sh", "env > environment")
    shop.rule("env", RULE.replace("COMMAND", "{run: [./env.sh], environment: {WHO: '{{ document.who }}'}}"))
    shop.watch()
    await shop.orders.insert_one({"who": "me"})

    row = await shop.delivery({"status": "delivered"})

    found = dict(line.partition("=")[::2] for line in lines(shop, "environment"))
    assert {key: value for key, value in found.items() if key.startswith("MTRIGGER_")} == {
        "MTRIGGER_RULE": "env",
        "MTRIGGER_DELIVERY_ID": row["_id"],
        "MTRIGGER_ATTEMPT": "1",
    }
    assert found["WHO"] == "me"
    assert shop.uri not in str(found)


async def test_75_is_tried_again_and_any_other_code_is_final(shop: Shop) -> None:
    """The code says what becomes of the delivery, the last lines of standard error say why."""
    program(
        shop,
        "codes.sh",
        'echo "$1" >> attempts; case "$1-$MTRIGGER_ATTEMPT" in busy-1|busy-2) exit 75;; '
        "bad-*) echo it is bad >&2; exit 3;; killed-1) kill -9 $$;; esac",
    )
    shop.rule("codes", RULE.replace("COMMAND", '[./codes.sh, "{{ document._id }}"]'))
    shop.watch()
    await shop.orders.insert_many([{"_id": name} for name in ("busy", "bad", "killed", "good")])

    await eventually(lambda: len(lines(shop, "attempts")) == 7)
    dead = await shop.delivery({"status": "dead"})
    await eventually(lambda: _delivered(shop, 3))

    assert {name: lines(shop, "attempts").count(name) for name in ("busy", "bad", "killed", "good")} == {
        "busy": 3,
        "bad": 1,
        "killed": 2,
        "good": 1,
    }
    assert dead["error"] == "./codes.sh ended with exit code 3: it is bad"


async def _delivered(shop: Shop, number: int) -> bool:
    return await shop.deliveries.count_documents({"status": "delivered"}) == number


async def test_whoever_takes_too_long_is_ended_with_its_children_and_tried_again(shop: Shop) -> None:
    """The second attempt finds nothing of the first one."""
    program(
        shop,
        "slow.sh",
        '[ "$MTRIGGER_ATTEMPT" = 2 ] && exit 0; sleep 60 & echo $! >> pids; echo $$ >> pids; wait',
    )
    shop.rule("slow", RULE.replace("COMMAND", "{run: [./slow.sh], timeout: 1s}"))
    shop.watch()
    await shop.orders.insert_one({})

    row = await shop.delivery({"status": "delivered"})

    assert row["log"][0]["detail"].endswith("./slow.sh took longer than 1 s and was ended")
    assert len(lines(shop, "pids")) == 2
    assert [pid for pid in lines(shop, "pids") if running(pid)] == []


async def test_at_the_end_of_mtrigger_nothing_of_a_program_goes_on(shop: Shop) -> None:
    """It is ended when the drain is over, stays owed, and runs again at the next start."""
    program(shop, "hangs.sh", "[ -e again ] && exit 0; sleep 60 & echo $! >> pids; echo $$ >> pids; wait")
    shop.rule("hangs", RULE.replace("COMMAND", "[./hangs.sh]"))
    watching = shop.watch("--drain", "200ms")
    await shop.orders.insert_one({})
    await eventually(lambda: len(lines(shop, "pids")) == 2)

    assert watching.terminate() == 0

    assert [pid for pid in lines(shop, "pids") if running(pid)] == []
    assert await shop.deliveries.count_documents({"status": "delivered"}) == 0
    (shop.folder / "again").touch()
    shop.watch()
    await shop.delivery({"status": "delivered"})


def test_check_finds_a_program_that_is_not_there(shop: Shop) -> None:
    """And a command that was written for a shell."""
    shop.rule("missing", RULE.replace("COMMAND", "[./missing.sh]"))
    shop.rule("shell", RULE.replace("COMMAND", "./missing.sh --now"))
    done = shop.run("check", "--rules", "triggers/")
    assert done.code == 1
    assert "missing.yaml:4:15: there is no program `./missing.sh`" in done.stdout
    assert "shell.yaml:4:14: `./missing.sh --now`: write it as a list: no shell is involved" in done.stdout
