"""The main job through the installed command: a change in a real MongoDB becomes a mail on a real server."""

from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId

from acceptance.shop import Shop
from support.polling import eventually

MAILED: dict[str, Any] = {
    "int": 10001,
    "double": 10000.01,
    "long": Int64(2**40),
    "decimal": Decimal128("15000.50"),
    "array": [1, 20000],
}
NOT_MAILED: dict[str, Any] = {
    "exactly": 10000,
    "string": "20000",
    "boolean": True,
    "null": None,
    "nan": float("nan"),
    "object-id": ObjectId(),
    "binary": Binary(b"99999"),
}


async def test_an_order_is_mailed_for_every_kind_of_amount_above_the_line_and_for_no_other(
    shop: Shop,
) -> None:
    """Numbers of every BSON type, and an array's element; no strings, booleans, nulls or missing fields."""
    shop.big_order_rule()
    shop.watch()
    for name, amount in {**NOT_MAILED, **MAILED}.items():
        await shop.orders.insert_one({"order_id": name, "amount": amount})
    await shop.orders.insert_one({"order_id": "missing"})
    await shop.orders.insert_one({"order_id": "last", "amount": 99999})

    expected = dict.fromkeys([*MAILED, "last"], 1)
    await eventually(lambda: len(shop.mailed()) >= len(expected))

    assert shop.mailed() == expected


async def test_an_update_and_a_replace_that_cross_the_line_are_mailed(shop: Shop) -> None:
    """`operations: [update]` means both; the mail shows the document as it is after the change."""
    shop.big_order_rule()
    await shop.orders.insert_many(
        [{"_id": "u", "order_id": "updated", "amount": 5}, {"_id": "r", "amount": 5}]
    )
    shop.watch()

    await shop.orders.update_one({"_id": "u"}, {"$set": {"amount": 5000}})
    await shop.orders.update_one({"_id": "u"}, {"$set": {"amount": 10500}})
    await shop.orders.replace_one({"_id": "r"}, {"order_id": "replaced", "amount": 10600})
    await eventually(lambda: len(shop.mailed()) == 2)

    assert shop.mailed() == {"updated": 1, "replaced": 1}
    assert [text for mail in shop.messages() if (text := mail.get_body(("plain",)))]
    assert {"10500", "10600"} == {str(mail.get_body(("plain",))).split()[-1] for mail in shop.messages()}


async def test_the_mail_is_rendered_addressed_and_marked(shop: Shop) -> None:
    """HTML and text, the rule's addresses, an id made from the delivery, and no invitation to auto-reply."""
    shop.big_order_rule()
    shop.watch()
    await shop.orders.insert_one({"order_id": "SO-1 <b>", "amount": 12000})
    (mail,) = await eventually(shop.messages)
    row = await shop.delivery({"status": "delivered"})

    assert mail["To"] == "sales-manager@example.com"
    assert mail["From"] == "shop@example.com"
    assert mail["Subject"] == "Big order SO-1 <b>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert str(row["_id"]) in mail["Message-ID"]
    html = mail.get_body(("html",))
    assert html is not None
    assert "SO-1 &lt;b&gt;" in html.get_content()


async def test_killed_while_orders_come_in_it_mails_every_big_one_once(shop: Shop) -> None:
    """kill -9, orders while it is dead, restart: nothing is missing, nothing comes twice."""
    shop.big_order_rule()
    running = shop.watch()
    await shop.orders.insert_one({"order_id": "before", "amount": 11000})
    await shop.delivery({"status": "delivered"})
    running.kill()

    for number in range(20):
        await shop.orders.insert_one({"order_id": f"dead-{number}", "amount": 9990 + number})
    running = shop.watch()
    await shop.orders.insert_one({"order_id": "after", "amount": 11000})
    await eventually(lambda: "after" in shop.mailed())
    await eventually(lambda: len(shop.mailed()) == 11)

    big = [f"dead-{number}" for number in range(20) if 9990 + number > 10000]
    assert shop.mailed() == dict.fromkeys(["before", *big, "after"], 1)
    assert running.terminate() == 0


async def test_sigterm_ends_it_with_0_and_nothing_in_flight_is_lost_or_doubled(shop: Shop) -> None:
    """Stopped in the middle of 300 orders and started again, every order is mailed exactly once."""
    shop.big_order_rule()
    running = shop.watch()
    await shop.orders.insert_many([{"order_id": f"SO-{n}", "amount": 20000 + n} for n in range(300)])
    await eventually(lambda: len(shop.mailed()) > 20)

    assert running.terminate() == 0
    assert "stopped" in running.stderr

    shop.watch()
    await eventually(lambda: len(shop.mailed()) == 300)
    await eventually(lambda: _delivered(shop, 300))
    assert set(shop.mailed().values()) == {1}


async def _delivered(shop: Shop, count: int) -> bool:
    return await shop.deliveries.count_documents({"status": "delivered"}) == count


async def test_the_mail_server_may_be_down_for_a_while(shop: Shop) -> None:
    """Deliveries wait and are tried again; each attempt is in the history."""
    shop.big_order_rule()
    shop.mail.stop()
    shop.watch()
    await shop.orders.insert_one({"order_id": "patient", "amount": 11000})
    await shop.delivery({"status": "retrying", "attempts": {"$gte": 2}})
    shop.mail.start()
    await eventually(lambda: shop.mailed() == {"patient": 1})
    row = await shop.delivery({"status": "delivered"})

    assert row["attempts"] == len(row["log"])
    assert [line["outcome"] for line in row["log"]][-1] == "delivered"
    assert "expires_at" in row


async def test_what_the_mail_server_refuses_for_good_is_dead_and_kept(shop: Shop) -> None:
    """A 550 is not tried again; the row stays, without an expiry, until an operator decides."""
    shop.big_order_rule()
    shop.mail.refuse("sales-manager@example.com")
    shop.watch()
    await shop.orders.insert_one({"order_id": "refused", "amount": 11000})
    row = await shop.delivery({"status": "dead"})

    assert row["attempts"] == 1
    assert "550" in row["error"]
    assert "expires_at" not in row


async def test_rules_are_reloaded_and_a_bad_file_changes_nothing(shop: Shop) -> None:
    """A file with a mistake keeps the old rules and says where it is; a good one is taken over at once."""
    shop.big_order_rule()
    running = shop.watch()
    shop.rule("broken", "on: {collection: SHOP.orders}\nwhen: amount >\ndo: [log: hello]\n")
    running.wait_for_line(r"broken\.yaml:2:\d+: ")
    running.wait_for_line("the rules were not reloaded")
    await shop.orders.insert_one({"order_id": "still-watched", "amount": 11000})
    await eventually(lambda: shop.mailed() == {"still-watched": 1})

    (shop.folder / "triggers" / "broken.yaml").unlink()
    shop.rule("big-order", (shop.folder / "triggers/big-order.yaml").read_text().replace("10000", "500"))
    running.wait_for_line("rules reloaded")
    await shop.orders.insert_one({"order_id": "now-big-enough", "amount": 600})
    await eventually(lambda: shop.mailed() == {"still-watched": 1, "now-big-enough": 1})


async def test_a_template_that_reads_what_was_before_makes_it_come(shop: Shop) -> None:
    """Until then it does not, and what is owed is stored without it."""
    await shop.database.create_collection("orders", changeStreamPreAndPostImages={"enabled": True})
    await shop.orders.insert_one({"_id": 1, "amount": 0})
    rule = "on: {collection: SHOP.orders}\ndo: [log: 'amount {{ document.amount }}']\n"
    shop.rule("amounts", rule)
    running = shop.watch()
    await shop.orders.update_one({"_id": 1}, {"$set": {"amount": 5}})
    running.wait_for_line("amount 5")
    shop.rule("amounts", rule.replace("amount {{", "was {{ before.amount }}, is {{"))
    running.wait_for_line("rules reloaded")
    await shop.orders.update_one({"_id": 1}, {"$set": {"amount": 7}})
    running.wait_for_line("was 5, is 7")

    rows = await shop.deliveries.find({}, {"event.before": 1}, sort=[("event.token", 1)]).to_list()
    assert [row["event"]["before"] for row in rows] == [None, {"_id": 1, "amount": 5}]


async def test_a_webhook_a_function_and_a_log_line_run_beside_each_other(shop: Shop) -> None:
    """Each action of a rule is owed by itself; a function may ask for what it wants to know by name."""
    (shop.folder / "shop_functions.py").write_text(
        "import pathlib\n"
        "def note(document, event):\n"
        "    pathlib.Path('noted').write_text(f\"{event['operation']} {document['order_id']}\")\n"
    )
    shop.rule(
        "everything",
        """
        on: {collection: SHOP.orders}
        do:
          - webhook: {url: "HOOK/hook"}
          - function: shop_functions:note
          - log: "order {{ document.order_id }} came in"
        """.replace("HOOK", shop.web.url),
    )
    running = shop.watch()
    await shop.orders.insert_one({"order_id": "SO-7", "amount": 1})
    running.wait_for_line("order SO-7 came in")
    request = (await eventually(lambda: shop.web.requests))[0]
    noted = shop.folder / "noted"

    assert await eventually(lambda: noted.exists() and noted.read_text()) == "insert SO-7"
    body = request.json()
    assert body["type"] == "everything"
    assert body["data"]["document"]["order_id"] == "SO-7"
    assert request.headers["webhook-id"] == body["data"]["delivery_id"]


async def test_a_dry_run_shows_everything_and_leaves_no_trace(shop: Shop) -> None:
    """The mail is printed, none is sent, and nothing is written to the state database."""
    shop.big_order_rule()
    running = shop.watch("--dry-run")
    await shop.orders.insert_one({"order_id": "SO-dry", "amount": 11000})
    running.wait_for_line("would run: rule big-order, email")
    running.wait_for_line("Order SO-dry")

    assert running.terminate() == 0
    assert shop.messages() == []
    assert await shop.state.list_collection_names() == []


@pytest.mark.parametrize("rules", [{}, {"MTRIGGER_RULES": "nowhere/"}])
def test_without_rules_watch_says_so_and_exits_64(shop: Shop, rules: dict[str, str]) -> None:
    """An empty or a missing folder is a mistake, not an idle watcher."""
    (shop.folder / "triggers").mkdir()

    finished = shop.run("watch", **rules)

    assert finished.code == 64
    assert "Traceback" not in finished.output
