"""Deliveries to NATS and RabbitMQ through the installed command: nothing is lost while the broker is away."""

import json
from contextlib import closing

from acceptance.shop import Shop
from support.brokers import LOGIN, NATS_PORT, RABBITMQ_PORT, nats_stream, rabbitmq_queue, taken
from support.faulty_wire import FaultyWire
from support.polling import eventually

ORDERS = 60
RETRY = "retry: {attempts: 4, first_delay: 20ms, max_delay: 50ms}\n"
NATS = "on: {collection: SHOP.orders}\ndo: [{nats: {url: '${BROKER}', subject: 'NAME.{{ document._id }}'}}]\n"
RABBITMQ = "on: {collection: SHOP.orders}\ndo: [{rabbitmq: {url: '${BROKER}', routing_key: NAME}}]\n"


async def through_an_outage(shop: Shop, wire: FaultyWire, url: str, rule: str) -> str:
    """Insert orders while the broker is away; what was printed until all are delivered."""
    shop.rule("orders", rule + RETRY)
    environment = {**shop.environment, "BROKER": url}
    arguments = ("watch", "--rules", "triggers/", "--log-level", "debug")
    running = shop.command.start(*arguments, env=environment)
    running.wait_for_line(r"watching .* from .* on")
    await shop.orders.insert_one({"_id": 0})
    await shop.delivery({"status": "delivered"})

    wire.refuse()
    await shop.orders.insert_many([{"_id": number} for number in range(1, ORDERS)])
    running.wait_for_line(rf"127\.0\.0\.1:{wire.port}\S* is down")
    status = shop.run("status", "--json").stdout
    (down,) = json.loads(status)["down"]
    assert f"127.0.0.1:{wire.port}" in down["destination"]
    wire.heal()

    async def all_delivered() -> bool:
        return await shop.deliveries.count_documents({"status": "delivered"}) == ORDERS

    await eventually(all_delivered)
    assert await shop.deliveries.count_documents({"status": "dead"}) == 0
    assert running.terminate() == 0
    return running.output + status + str(await shop.deliveries.find().to_list())


async def test_a_stream_has_every_order_once(shop: Shop) -> None:
    """Each under the id of its delivery."""
    async with nats_stream() as stream:
        with closing(FaultyWire(NATS_PORT)) as wire:
            url = f"nats://shop:s3cret@127.0.0.1:{wire.port}"
            told = await through_an_outage(shop, wire, url, NATS.replace("NAME", stream.name))
        messages = await stream.messages()
        assert sorted(int(subject.rpartition(".")[2]) for subject, _, _ in messages) == list(range(ORDERS))
        ids = {row["_id"] async for row in shop.deliveries.find()}
        assert {headers["Nats-Msg-Id"] for _, headers, _ in messages} == ids
        assert "s3cret" not in told


async def test_a_queue_has_every_order(shop: Shop) -> None:
    """Each under the id of its delivery; one that came twice has the same."""
    async with rabbitmq_queue() as queue:
        with closing(FaultyWire(RABBITMQ_PORT)) as wire:
            url = f"amqp://{LOGIN}@127.0.0.1:{wire.port}/"
            told = await through_an_outage(shop, wire, url, RABBITMQ.replace("NAME", queue.name))
        messages = await taken(queue)
        assert {json.loads(message.body)["data"]["document"]["_id"] for message in messages} == {
            *range(ORDERS)
        }
        assert {message.message_id for message in messages} == {
            row["_id"] async for row in shop.deliveries.find()
        }
        assert LOGIN not in told


def test_check_says_what_is_wrong_and_shows_no_address(shop: Shop) -> None:
    """Neither its password."""
    shop.rule("orders", NATS.replace("NAME", "orders"))
    done = shop.run("check", "--rules", "triggers/", BROKER="http://shop:s3cret@broker")
    assert done.code == 1
    assert "orders.yaml:2:19: the address has to begin with nats:// or tls://" in done.stdout
    assert "s3cret" not in done.output
