"""`concurrency:` through the installed command: never more requests at once than allowed, and as many."""

import pytest

from acceptance.shop import Shop
from support.http_sink import Answer
from support.polling import eventually

ORDERS = 40
HOOK = "{{webhook: {{url: SINK, {} }}}}"


@pytest.mark.parametrize(
    ("name", "limits", "at_once"),
    [
        ("action", f"do: [{HOOK.format('concurrency: 5')}]", 5),
        ("two-actions", f"do: [{HOOK.format('concurrency: 4')}, {HOOK.format('concurrency: 2')}]", 6),
        ("rule", f"concurrency: 3\ndo: [{HOOK.format('')}, {HOOK.format('concurrency: 2')}]", 3),
    ],
)
async def test_so_many_attempts_run_at_once_and_no_more(
    shop: Shop, name: str, limits: str, at_once: int
) -> None:
    """A rule's limit holds for all its actions together, an action's for itself; everything is delivered."""
    shop.web.answer_always(Answer(delay=0.05))
    shop.rule(name, "on: {collection: SHOP.orders}\n" + limits.replace("SINK", shop.web.url))
    shop.watch()
    await shop.orders.insert_many([{"order_id": number} for number in range(ORDERS)])
    actions = limits.count("webhook")

    await eventually(lambda: len(shop.web.requests) == ORDERS * actions)

    assert shop.web.most_at_once == at_once


async def test_a_limited_rule_keeps_the_order_of_each_document(shop: Shop) -> None:
    """Changes of one document come one after the other, whatever is allowed."""
    shop.rule(
        "in-order",
        "on: {collection: SHOP.orders, operations: [insert, update]}\n"
        "concurrency: 4\n"
        "do:\n"
        "  - webhook:\n"
        f"      url: {shop.web.url}/{{{{ document._id }}}}\n"
        "      body: '{{ changed.step }}'\n"
        "retry: {first_delay: 10ms, max_delay: 50ms}\n",
    )
    shop.web.answer_next(Answer(503), times=5)
    shop.watch()
    for step in range(5):
        for number in range(6):
            await shop.orders.update_one({"_id": number}, {"$set": {"step": step}}, upsert=True)

    def done() -> list[tuple[str, bytes]]:
        return [(request.path, request.body) for request in shop.web.requests if request.status == 200]

    await eventually(lambda: len(done()) == 30)

    for number in range(6):
        assert [body for path, body in done() if path == f"/{number}"] == [b"0", b"1", b"2", b"3", b"4"]
    assert shop.web.most_at_once <= 4


async def test_a_reload_changes_the_limit(shop: Shop) -> None:
    """What waits runs at once when more may run."""
    rule = "on: {collection: SHOP.orders}\nconcurrency: LIMIT\n"
    rule += f"do: [{{webhook: {{url: '{shop.web.url}', timeout: 60s}}}}]\n"
    shop.web.answer_next(Answer(delay=30), times=1)
    shop.rule("slow", rule.replace("LIMIT", "1"))
    running = shop.watch()
    await shop.orders.insert_many([{"order_id": number} for number in range(5)])
    await eventually(lambda: shop.web.requests)

    shop.rule("slow", rule.replace("LIMIT", "2"))
    running.wait_for_line("rules reloaded")

    await eventually(lambda: len(shop.web.requests) == 5)
    assert shop.web.most_at_once == 2
