"""Digests through the installed command: many changes, one mail, and what a crash leaves of it."""

import asyncio
import random
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from acceptance.shop import Document, Shop
from support.polling import eventually

TEMPLATES = Path(__file__).parents[2] / "templates"

PLAIN = (
    "{{ count }} of {{ group | json }}: "
    "{% for path, total in sums | items %}{{ path }}={{ total }}{% endfor %}, {{ more }} more: "
    "{% for one in documents %}<{{ one.order_id }}>{% endfor %}"
)
OPEN, CLOSED = "every: 1h", "every: 10ms"
"""A window that no test outlives; and, by a reload, one that has closed when it begins."""


def digest_rule(shop: Shop, digest: str = OPEN, *, text: str = PLAIN, more: str = "") -> None:
    """Every big order, gathered."""
    shop.rule(
        "digest",
        f"""
        on: {{collection: SHOP.orders, operations: [insert]}}
        when: amount > 10000
        digest: {{{digest}}}
        do:
          - email:
              to: sales@example.com
              subject: "{{{{ count }}}} big orders"
              text: '{text}'
        retry: {{first_delay: 50ms, max_delay: 100ms}}
        {more}
        """,
    )


def orders(numbers: Sequence[int], **fields: Any) -> list[Document]:
    """Big orders with these numbers."""
    return [{"order_id": f"SO-{n}", "amount": 10_001 + n, **fields} for n in numbers]


def text_of(mail: Any) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def listed(shop: Shop) -> Counter[str]:
    """How many digests tell of each order."""
    return Counter(number for mail in shop.messages() for number in re.findall(r"<(SO-\d+)>", text_of(mail)))


async def stands(shop: Shop, expected: Mapping[str, int]) -> bool:
    """Whether so many orders (and letters) have each status, and no others."""
    ours = {"$match": {"event.document.order_id": {"$ne": "probe"}}}
    group = {"$group": {"_id": "$status", "number": {"$sum": 1}}}
    rows = await (await shop.deliveries.aggregate([ours, group])).to_list()
    return {row["_id"]: row["number"] for row in rows} == dict(expected)


THOUSANDS = """
on: {collection: SHOP.orders, operations: [insert]}
when: amount > 10000
digest: {every: 1h, max: 500, sums: [amount]}
do:
  - email: {to: sales@example.com, subject: "{{ count }} orders", template: digest.html.j2}
"""


async def test_thousands_of_changes_are_one_mail_that_counts_them_all(shop: Shop) -> None:
    """4,821 orders: 500 in the table, "and 4,321 more", the sum of all; and every row says where it went."""
    for name in ("layout.html.j2", "digest.html.j2", "digest.txt.j2"):
        (shop.folder / "templates").mkdir(exist_ok=True)
        shutil.copy(TEMPLATES / name, shop.folder / "templates" / name)
    shop.rule(
        "digest",
        THOUSANDS,
    )
    shop.watch()
    await shop.orders.insert_many(orders(range(4821)))
    await eventually(lambda: stands(shop, {"pending": 4821}), patience=60)
    shop.rule("digest", THOUSANDS.replace(OPEN, CLOSED))
    await eventually(lambda: stands(shop, {"delivered": 4821}), patience=60)

    (mail,) = shop.messages()
    total = f"{sum(10_001 + n for n in range(4821)):,}"
    assert mail["Subject"] == "4821 orders"
    for kind in ("plain", "html"):
        body = mail.get_body((kind,))
        assert body is not None
        content = body.get_content()
        assert "and 4,321 more" in content
        assert total in content
        assert content.count("SO-") == 500
    row = await shop.deliveries.find_one({"event.document.order_id": "SO-4000"})
    assert row is not None
    assert "in a digest of 4,821" in row["log"][-1]["detail"]
    assert await shop.deliveries.distinct("attempts") == [1]


POSTED = """
on: {collection: SHOP.orders, operations: [insert]}
digest: {every: 1h, max: 3, sums: amount}
do:
  - webhook:
      url: SINK/orders
      body: >-
        {{ count }} orders: {{ documents | map(attribute="order_id") | join(", ") }} and {{ more }} more,
        {{ sums.amount }} in all
"""

DIES = """
on: {collection: SHOP.orders, operations: [insert]}
do:
  - email: {to: sales@example.com, subject: "{{ document.nothing.at_all }}", text: "x"}
"""

TOLD = """
on: {dead_letters: true}
do:
  - email: {to: it@example.com, subject: "dead: {{ document.error }}", text: "{{ document.rule }}"}
"""


async def test_each_group_has_a_digest_of_its_own(shop: Shop) -> None:
    """`per: region`: a mail for each, with what belongs to it and nothing else."""
    settings = "per: region, sums: amount"
    digest_rule(shop, f"{OPEN}, {settings}")
    shop.watch()
    regions = ("EMEA", "APAC", "AMER")
    for place, region in enumerate(regions):
        await shop.orders.insert_many(orders(range(place * 10, place * 10 + 10), region=region))
    await eventually(lambda: stands(shop, {"pending": 30}))
    digest_rule(shop, f"{CLOSED}, {settings}")
    await eventually(lambda: stands(shop, {"delivered": 30}))

    told = {re.findall(r'"region": "(\w+)"', text_of(mail))[0]: text_of(mail) for mail in shop.messages()}
    assert sorted(told) == sorted(regions)
    for place, region in enumerate(regions):
        numbers = range(place * 10, place * 10 + 10)
        assert re.findall(r"<SO-(\d+)>", told[region]) == [str(n) for n in numbers]
        assert f"amount={sum(10_001 + n for n in numbers)}" in told[region]


@pytest.mark.parametrize("ending", ["kill", "terminate"])
async def test_a_window_outlives_its_process(shop: Shop, ending: str) -> None:
    """Ended in the middle of a window, killed or in good order: after the restart it goes on, and one digest
    has all that came before and after."""
    digest_rule(shop)
    running = shop.watch()
    await shop.orders.insert_many(orders(range(20)))
    await eventually(lambda: stands(shop, {"pending": 20}))
    getattr(running, ending)()

    await shop.orders.insert_many(orders(range(20, 30)))
    shop.watch()
    await eventually(lambda: stands(shop, {"pending": 30}))
    assert shop.messages() == []

    digest_rule(shop, CLOSED)
    await eventually(lambda: stands(shop, {"delivered": 30}))
    assert listed(shop) == {f"SO-{n}": 1 for n in range(30)}
    assert [mail["Subject"] for mail in shop.messages()] == ["30 big orders"]


async def test_a_refused_digest_is_tried_again_as_the_same_mail(shop: Shop) -> None:
    """The third try has the Message-ID of the first; nothing is doubled."""
    digest_rule(shop)
    shop.mail.answer_next("451 4.3.0 try again later", times=2)
    shop.watch()
    await shop.orders.insert_many(orders(range(5)))
    await eventually(lambda: stands(shop, {"pending": 5}))
    digest_rule(shop, CLOSED)
    await eventually(lambda: stands(shop, {"delivered": 5}))

    (mail,) = shop.messages()
    head = await shop.delivery({"settled_together": True})
    assert str(head["_id"]) in mail["Message-ID"]
    assert [line["outcome"] for line in head["log"]] == ["retrying", "retrying", "delivered"]
    others = await shop.deliveries.find({"_id": {"$ne": head["_id"]}}).to_list()
    assert [[line["number"] for line in row["log"]] for row in others] == [[3]] * 4
    assert listed(shop) == {f"SO-{n}": 1 for n in range(5)}


async def test_killed_between_two_tries_it_is_the_same_mail_still(shop: Shop) -> None:
    """The head that was tried keeps its place, and what came meanwhile goes with it."""
    digest_rule(shop)
    shop.mail.stop()
    running = shop.watch()
    await shop.orders.insert_many(orders(range(5)))
    await eventually(lambda: stands(shop, {"pending": 5}))
    digest_rule(shop, CLOSED)
    head = await shop.delivery({"status": "retrying"})
    running.kill()
    await shop.orders.insert_many(orders(range(5, 8)))
    shop.mail.start()
    shop.watch()
    await eventually(lambda: stands(shop, {"delivered": 8}))

    assert listed(shop) == {f"SO-{n}": 1 for n in range(8)}
    assert str(head["_id"]) in shop.messages()[0]["Message-ID"]


async def test_killed_again_and_again_every_change_is_told_by_one_mail(shop: Shop) -> None:
    """Whatever a kill falls into, a seal, a mail or its settling: no change is lost, and none is told by two
    mails, unless they are the same (the same Message-ID)."""
    digest_rule(shop, "every: 100ms, per: region", more="concurrency: 2")
    chance = random.Random(20260301)
    for start in range(0, 600, 100):
        running = shop.watch()
        for number in range(start, start + 100):
            await shop.orders.insert_one({"order_id": f"SO-{number}", "amount": 20_000, "region": number % 3})
        await eventually(partial(_more_mails_than, shop, len(shop.messages())))
        await asyncio.sleep(chance.random() * 0.2)
        running.kill()
    shop.watch()
    await eventually(lambda: stands(shop, {"delivered": 600}))

    mails: dict[str, set[str]] = {}
    for mail in shop.messages():
        for number in re.findall(r"<(SO-\d+)>", text_of(mail)):
            mails.setdefault(number, set()).add(mail["Message-ID"])
    assert sorted(mails) == sorted(f"SO-{n}" for n in range(600))
    assert {number: ids for number, ids in mails.items() if len(ids) > 1} == {}


def _more_mails_than(shop: Shop, number: int) -> bool:
    return len(shop.messages()) > number


async def test_dead_letters_are_gathered_like_anything_else(shop: Shop) -> None:
    """One mail tells of many deaths."""
    shop.rule("dies", DIES)
    shop.rule("told", TOLD.replace("do:", f"digest: {{{OPEN}}}\ndo:"))
    shop.watch()
    await shop.orders.insert_many(orders(range(20)))
    await eventually(lambda: stands(shop, {"dead": 20, "pending": 20}))
    shop.rule("told", TOLD.replace("do:", f"digest: {{{CLOSED}}}\ndo:"))
    await eventually(lambda: stands(shop, {"dead": 20, "delivered": 20}))
    (mail,) = shop.messages()
    assert mail["Subject"].startswith("dead: ")


async def test_a_cron_expression_closes_all_windows(shop: Shop) -> None:
    """By the clocks of the rule's time zone; none closes before its time (every third second here)."""
    digest_rule(shop, 'cron: "*/3 * * * * *", timezone: Asia/Seoul, per: region')
    shop.watch()
    await shop.orders.insert_many([{**order, "region": n % 4} for n, order in enumerate(orders(range(40)))])
    await eventually(lambda: stands(shop, {"delivered": 40}))
    assert listed(shop) == {f"SO-{n}": 1 for n in range(40)}
    heads = await shop.deliveries.find({"settled_together": True}).to_list()
    assert len(heads) >= 4
    for head in heads:
        begun = head["created_at"].replace(microsecond=0)
        assert head["settled_at"] >= begun + timedelta(seconds=3 - begun.second % 3)


async def test_a_paused_rule_keeps_its_windows_open(shop: Shop) -> None:
    """What it is owed waits, and goes with what comes until the rule is resumed."""
    digest_rule(shop)
    running = shop.watch()
    await shop.orders.insert_many(orders(range(10)))
    await eventually(lambda: stands(shop, {"pending": 10}))
    assert shop.run("pause", "digest").code == 0
    running.terminate()
    digest_rule(shop, CLOSED)
    shop.watch()
    await shop.orders.insert_many(orders(range(10, 20)))
    await eventually(lambda: stands(shop, {"pending": 20}))
    assert shop.messages() == []

    assert shop.run("resume", "digest").code == 0
    await eventually(lambda: stands(shop, {"delivered": 20}))
    assert [mail["Subject"] for mail in shop.messages()] == ["20 big orders"]


async def test_a_broken_template_kills_all_and_is_told_once(shop: Shop) -> None:
    """All rows are dead with the error, one dead letter tells of it; tried again, they are a digest again."""
    broken = "{{ documents[0].missing.name }}"
    digest_rule(shop, text=broken)
    shop.rule("told", TOLD)
    running = shop.watch()
    await shop.orders.insert_many(orders(range(30)))
    await eventually(lambda: stands(shop, {"pending": 30}))
    digest_rule(shop, CLOSED, text=broken)
    await eventually(lambda: stands(shop, {"dead": 30, "delivered": 1}))
    (letter,) = shop.messages()
    assert "missing" in letter["Subject"]
    assert len(await shop.deliveries.distinct("error", {"status": "dead"})) == 1

    digest_rule(shop, CLOSED)
    await eventually(lambda: running.output.count("rules reloaded") == 2)
    done = shop.run("deliveries", "retry", "--rule", "digest")
    assert done.code == 0, done.output
    await eventually(lambda: stands(shop, {"delivered": 31}))
    assert listed(shop) == {f"SO-{n}": 1 for n in range(30)}


async def test_a_rule_that_gets_or_loses_its_digest_loses_and_doubles_nothing(shop: Shop) -> None:
    """By hot reload: what waits in a window is sent one by one, what waits one by one is gathered."""
    digest_rule(shop)
    running = shop.watch()
    await shop.orders.insert_many(orders(range(10)))
    await eventually(lambda: stands(shop, {"pending": 10}))

    path = shop.folder / "triggers/digest.yaml"
    gathering = path.read_text().replace(OPEN, CLOSED)
    path.write_text(re.sub(r" *digest: .*\n", "", gathering))
    running.wait_for_line("rules reloaded")
    await eventually(lambda: stands(shop, {"delivered": 10}))
    assert [mail["Subject"] for mail in shop.messages()] == ["1 big orders"] * 10

    shop.mail.stop()
    await shop.orders.insert_many(orders(range(10, 20)))
    await shop.delivery({"status": "retrying"})
    path.write_text(gathering)
    shop.mail.start()
    await eventually(lambda: stands(shop, {"delivered": 20}))
    assert listed(shop) == {f"SO-{n}": 1 for n in range(20)}
    assert len(shop.messages()) < 20


async def test_what_a_silence_covers_when_it_comes_is_not_gathered(shop: Shop) -> None:
    """A condition is asked of each change, a silence of the whole rule once more when the window closes."""
    digest_rule(shop)
    shop.watch()
    assert shop.run("silence", "digest", "--for", "1h", "--where", "amount > 10010").code == 0
    await eventually(lambda: _is_left_out(shop, 99_999))
    await shop.orders.insert_many(orders(range(15)))
    await eventually(lambda: stands(shop, {"suppressed": 5, "pending": 10}))
    digest_rule(shop, CLOSED)
    await eventually(lambda: stands(shop, {"suppressed": 5, "delivered": 10}))
    assert listed(shop) == {f"SO-{n}": 1 for n in range(10)}


async def test_a_silence_of_the_rule_leaves_out_what_was_gathered_before(shop: Shop) -> None:
    """It is in force when the window closes: everything in it is left out, and says why."""
    digest_rule(shop)
    shop.watch()
    await shop.orders.insert_many(orders(range(10)))
    await eventually(lambda: stands(shop, {"pending": 10}))
    assert shop.run("silence", "digest", "--for", "1h", "--comment", "moving house").code == 0
    await eventually(lambda: _is_left_out(shop, 99_999))
    assert await stands(shop, {"pending": 10})
    digest_rule(shop, CLOSED)
    await eventually(lambda: stands(shop, {"suppressed": 10}))
    assert shop.messages() == []
    row = await shop.delivery({"event.document.order_id": "SO-9"})
    assert "moving house" in row["log"][-1]["detail"]


async def _is_left_out(shop: Shop, amount: int) -> bool:
    """Whether another order of this amount, or one before it, was left out: the silence is heeded by now."""
    await shop.orders.insert_one({"order_id": "probe", "amount": amount})
    found = {"event.document.order_id": "probe", "status": "suppressed"}
    return await shop.deliveries.find_one(found) is not None


async def test_a_webhook_gets_the_digest(shop: Shop) -> None:
    """Whatever a kind of action renders sees the same names."""
    posted = POSTED.replace("SINK", shop.web.url)
    shop.rule("digest", posted)
    shop.watch()
    await shop.orders.insert_many(orders(range(7)))
    await eventually(lambda: stands(shop, {"pending": 7}))
    shop.rule("digest", posted.replace(OPEN, CLOSED))
    await eventually(lambda: stands(shop, {"delivered": 7}))
    (request,) = shop.web.requests
    total = sum(10_001 + n for n in range(7))
    assert request.body.decode() == f"7 orders: SO-0, SO-1, SO-2 and 4 more, {total} in all"


async def test_a_digest_of_one_has_the_shape_of_any_other(shop: Shop) -> None:
    """The standard message of a webhook lists its only document, and tells number and sums."""
    posted = re.sub(r" *body: >-\n(.*\n)*", "", POSTED).replace("SINK", shop.web.url)
    shop.rule("digest", posted.replace(OPEN, CLOSED))
    shop.watch()
    await shop.orders.insert_one({"_id": 1, "order_id": "SO-1", "amount": 15_000})
    await eventually(lambda: stands(shop, {"delivered": 1}))
    (request,) = shop.web.requests
    data = request.json()["data"]
    assert (data["documents"], data["count"], data["more"]) == ([data["document"]], 1, 0)
    assert data["sums"] == {"amount": 15_000}


async def test_a_dry_run_shows_the_digest_and_sends_nothing(shop: Shop) -> None:
    """In the store that forgets: windows close there as well."""
    digest_rule(shop, "every: 1s")
    running = shop.watch("--dry-run")
    await shop.orders.insert_many(orders(range(5)))
    running.wait_for_line(r"[1-5] big orders")
    assert shop.messages() == []


async def test_memory_does_not_grow_with_what_is_gathered(shop: Shop) -> None:
    """50,000 orders wait in one window: they lie in the outbox, not in the process."""
    digest_rule(shop)
    running = shop.watch()
    await shop.orders.insert_many(orders(range(5_000), text="x" * 500))
    await eventually(lambda: stands(shop, {"pending": 5_000}), patience=60)
    before = resident(running.pid)
    for start in range(5_000, 50_000, 5_000):
        await shop.orders.insert_many(orders(range(start, start + 5_000), text="x" * 500))
    await eventually(lambda: stands(shop, {"pending": 50_000}), patience=120)

    assert resident(running.pid) - before < 40_000_000  # the documents alone are 30 MB, twice that in Python


def resident(pid: int) -> int:
    """Bytes of memory that the process uses."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1000


@pytest.mark.parametrize(
    ("other", "setting"), [("throttle", "{every: 1m}"), ("count", "{at_least: 3, within: 1m}")]
)
async def test_check_refuses_a_digest_beside_what_counts_otherwise(
    shop: Shop, other: str, setting: str
) -> None:
    """One of them keeps back, the other gathers: only one can have the say."""
    digest_rule(shop, more=f"{other}: {setting}")
    done = shop.run("check", "--rules", "triggers/")
    assert done.code != 0
    assert f"`digest` and `{other}` cannot be combined" in done.output
