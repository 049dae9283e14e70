"""Notifications through Apprise, through the installed command: each address for itself, and none shown."""

from acceptance.shop import Shop
from support.http_sink import Answer
from support.polling import eventually

RULE = """
on: {collection: SHOP.orders}
do:
  - notify:
      urls: ["${FIRST}", "${SECOND}"]
      title: "Order {{ document._id }}"
      body: "{{ document.name }}"
      type: failure
retry: {first_delay: 50ms, max_delay: 100ms}
"""


async def test_one_failing_channel_never_hides_behind_another(shop: Shop) -> None:
    """It is tried again by itself; the others hear nothing twice. What fails is told without the address."""
    first, second = (f"json://user:s3cret@127.0.0.1:{shop.web.port}/{name}" for name in ("first", "second"))
    shop.rule("orders", RULE)
    shop.web.answer_path("/second", Answer(500))
    watching = shop.command.start(
        "watch",
        "--rules",
        "triggers/",
        "--log-level",
        "debug",
        env={**shop.environment, "FIRST": first, "SECOND": second},
    )
    watching.wait_for_line(r"watching .* from .* on")
    await shop.orders.insert_one({"_id": 1, "name": "<b>A & B"})

    failed = await shop.delivery({"action": "notify-2", "attempts": {"$gte": 2}})
    shop.web.answer_path("/second", Answer(200))
    await shop.delivery({"action": "notify-2", "status": "delivered"})
    await shop.delivery({"action": "notify", "status": "delivered"})

    (sent,) = [request.json() for request in shop.web.requests if request.path == "/first"]
    assert (sent["title"], sent["message"], sent["type"]) == ("Order 1", "<b>A & B", "failure")
    assert failed["log"][0]["detail"].startswith("NotificationFailed: json did not take the message: ")
    assert "s3cret" not in str(failed) + watching.output
    assert "/second" not in watching.output


async def test_a_service_that_does_not_answer_keeps_nobody_waiting(shop: Shop) -> None:
    """Neither other notifications nor the end of mtrigger."""
    url = f"json://127.0.0.1:{shop.web.port}/"
    rule = RULE.replace('["${FIRST}", "${SECOND}"]', f"['{url}slow?rto=60', '{url}quick']")
    shop.rule("orders", rule)
    shop.web.answer_path("/slow", Answer(delay=60))
    watching = shop.watch("--drain", "100ms")
    await shop.orders.insert_one({"_id": 1, "name": "A"})

    await shop.delivery({"action": "notify-2", "status": "delivered"})
    await eventually(lambda: {"/slow", "/quick"} <= {request.path for request in shop.web.requests})
    assert watching.terminate() == 0


def test_check_tells_of_a_wrong_address_without_showing_it(shop: Shop) -> None:
    """It may be a secret."""
    shop.rule("orders", RULE)
    done = shop.run("check", "--rules", "triggers/", FIRST="slack://t0kenA", SECOND="nosuch://t0kenB")
    assert done.code == 1
    assert "orders.yaml:5:14: Apprise cannot use this address" in done.stdout
    assert "t0ken" not in done.output


def test_a_test_of_a_rule_shows_the_message_and_not_the_address(shop: Shop) -> None:
    """Nothing is sent."""
    shop.rule("orders", RULE)
    done = shop.run(
        "test",
        "--rules",
        "triggers/",
        "--document",
        '{"_id": 5, "name": "A"}',
        FIRST="json://user:s3cret@host/",
        SECOND="json://user:s3cret@host/",
    )
    assert (done.code, "Order 5" in done.stdout) == (0, True)
    assert "s3cret" not in done.output
