"""What may happen to a stream in partitions: processes that die, and numbers that change, at any moment."""

import os
import signal
from contextlib import suppress

from acceptance.divided import all_told, begin, repeated, steps_rule, take_steps, told, until_watched
from acceptance.shop import Shop
from support.command import Running
from support.http_sink import Answer
from support.polling import eventually

DIVIDED = ("--partitions", "4", "--processes", "2", "--lease", "2s")


def children(running: Running) -> list[int]:
    """The process ids of its children, in the order they were started."""
    with open(f"/proc/{running.pid}/task/{running.pid}/children") as file:  # noqa: PTH123 - a file of the kernel
        return sorted(map(int, file.read().split()))


def is_there(pid: int) -> bool:
    """Whether such a process runs."""
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def test_a_child_that_is_killed_ends_all_and_nothing_is_lost(shop: Shop) -> None:
    """Its signal as the exit code, one line that says which; the other stops in good order."""
    steps_rule(shop)
    running = until_watched(begin(shop, *DIVIDED), 4)
    first, second = children(running)
    await take_steps(shop, range(200), range(1, 2))
    os.kill(second, signal.SIGKILL)

    assert running.wait() == 137
    assert running.stderr.splitlines()[-1] == (
        f"mtrigger: process 2 of 2 (pid {second}) was ended by SIGKILL; the others have stopped"
    )
    assert "process=1 stopped; the position is saved" in running.stderr
    assert not is_there(first)
    await take_steps(shop, range(200), range(2, 3))
    until_watched(begin(shop, *DIVIDED), 4)
    await all_told(shop, 200, 2)


async def test_children_end_when_their_parent_is_killed(shop: Shop) -> None:
    """In good order: what they did is not done again."""
    steps_rule(shop)
    running = until_watched(begin(shop, *DIVIDED), 4)
    there = children(running)
    await take_steps(shop, range(200), range(1, 2))
    running.send(signal.SIGKILL)
    await eventually(lambda: not any(is_there(pid) for pid in there))

    await take_steps(shop, range(200), range(2, 3))
    until_watched(begin(shop, *DIVIDED), 4)
    await all_told(shop, 200, 2)
    assert repeated(shop) == 0


async def test_a_signal_to_all_of_them_at_once_is_one_request(shop: Shop) -> None:
    """As systemd and terminals do it: what runs may end, for the second word would be another signal."""
    steps_rule(shop)
    shop.web.answer_always(Answer(delay=1.0))
    running = until_watched(begin(shop, *DIVIDED), 4)
    await take_steps(shop, range(8), range(1, 2))
    await eventually(lambda: len(shop.web.requests) >= 8)
    for pid in (*children(running), running.pid):
        os.kill(pid, signal.SIGTERM)
    assert running.wait() == 0
    assert await shop.deliveries.count_documents({"status": "delivered"}) == 8


async def test_a_child_that_cannot_go_on_ends_all_with_its_exit_code(shop: Shop) -> None:
    """78 for a position that needs an operator, and the sentence that says so."""
    steps_rule(shop)
    assert until_watched(begin(shop, *DIVIDED), 4).terminate() == 0
    await shop.state["checkpoints"].update_one({"_id": "main/1-of-4"}, {"$set": {"token": 7}})
    running = begin(shop, *DIVIDED)
    assert running.wait() == 78
    assert "The checkpoint 'main/1-of-4' cannot be read" in running.stderr
    assert "process 2 of 2" in running.stderr.splitlines()[-1]
    assert "ended with exit code 78" in running.stderr.splitlines()[-1]


async def test_what_is_owed_goes_with_its_documents_when_the_number_changes(shop: Shop) -> None:
    """1, 4, 2, 1 partitions while the web server is down, changes at each of them, and dead deliveries tried
    again afterwards: everything is told once, each document's in its order."""
    steps_rule(shop)
    shop.web.answer_always(Answer(503))
    for step, partitions in enumerate(("1", "4", "2", "1"), start=1):
        running = until_watched(begin(shop, "--partitions", partitions), int(partitions))
        await take_steps(shop, range(60), range(step, step + 1))
        await _stored(shop, 60 * step)
        assert running.terminate() == 0
    await shop.deliveries.update_many(
        {"event.key._id": {"$lt": 10}},
        {"$set": {"status": "dead", "partition": "main/3-of-4"}, "$unset": {"open": ""}},
    )

    until_watched(begin(shop, "--partitions", "2"), 2)
    shop.web.answer_always(Answer(200))
    await eventually(lambda: sum(map(len, told(shop).values())) >= 50 * 4)
    assert shop.run("deliveries", "retry", "--all").code == 0
    await all_told(shop, 60, 4)
    assert await shop.deliveries.distinct("partition") == ["main/0-of-2", "main/1-of-2"]


async def _stored(shop: Shop, deliveries: int) -> None:
    async def there() -> bool:
        return await shop.deliveries.count_documents({}) >= deliveries

    await eventually(there)


async def test_a_change_waits_for_the_last_process_of_the_old_number(shop: Shop) -> None:
    """Nothing of the new ones begins before; and one that comes with the old number then waits for them."""
    steps_rule(shop)
    old = until_watched(begin(shop, "--lease", "2s"), 1)
    late = begin(shop, "--lease", "2s")
    late.wait_for_line("standing by")
    new = begin(shop, "--partitions", "2", "--lease", "2s")
    new.wait_for_line("the stream is in 1 partition; it is divided into 2 once nobody watches it so")
    new.wait_for_line("standing by")
    await take_steps(shop, range(30), range(1, 2))
    await all_told(shop, 30, 1)
    assert " watching " not in new.output

    assert late.terminate() == 0
    assert old.terminate() == 0
    until_watched(new, 2)
    other = begin(shop, "--lease", "2s")
    other.wait_for_line("the stream is in 2 partitions; it is divided into 1 once nobody watches it so")
    await take_steps(shop, range(30), range(2, 3))
    await all_told(shop, 30, 2)
    new.kill()
    until_watched(other, 1)
    await take_steps(shop, range(30), range(3, 4))
    await all_told(shop, 30, 3)


async def test_killed_in_the_middle_of_a_change_again_and_again(shop: Shop) -> None:
    """kill -9 as soon as it says that it changes the number, to and fro, with deliveries owed and changes
    unread: in the end nothing is lost, and nothing came twice or out of turn."""
    steps_rule(shop)
    shop.web.answer_always(Answer(503))
    running = until_watched(begin(shop), 1)
    await take_steps(shop, range(40), range(1, 2))
    await _stored(shop, 40)
    running.kill()
    for step, partitions in enumerate(("3", "2", "1", "4", "2"), start=2):
        await take_steps(shop, range(40), range(step, step + 1))
        running = begin(shop, "--partitions", partitions)
        running.wait_for_line("it is divided into| watching ")
        running.kill()
    shop.web.answer_always(Answer(200))
    until_watched(begin(shop, "--partitions", "3"), 3)
    await all_told(shop, 40, 6)
