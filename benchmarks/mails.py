"""Mails to a local server over four connections, each rendered from HTML.

The limit is a loop over four aiosmtplib connections that hands over the bytes of one ready mail: nothing is
read, rendered, composed or stored. Both send the same mail, one that mtrigger has made.

    python -m benchmarks.mails [--events N] [--rounds N] [--json] [--uri URI]
"""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import aiosmtplib

from benchmarks.command import Sizes, run
from benchmarks.engines import deliver, rules_folder
from benchmarks.history import COLLECTION, DATABASE, History, mongod, write_orders
from benchmarks.rounds import take_turns
from benchmarks.sinks import Sink, sink
from benchmarks.table import Row, compared
from mtrigger.actions.smtp_server import SmtpServer
from mtrigger.supervision import interpreter

EVENTS = 1_000
CONNECTIONS = 4
SENDER, RECIPIENT = "shop@example.com", "sales@example.com"

RULE = f"""\
on: {{collection: {DATABASE}.{COLLECTION}, operations: [insert]}}
do:
  - email:
      from: {SENDER}
      to: {RECIPIENT}
      subject: "Order {{{{ document.order_id }}}} of {{{{ document.customer.name }}}}"
      template: order.html.j2
"""
TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>Order {{ document.order_id }}</title>
  <style>
    body { font-family: sans-serif; color: #1a1a2e; }
    td, th { padding: 4px 16px 4px 0; text-align: left; }
    .amount { font-size: 22px; font-weight: bold; }
  </style>
</head>
<body>
  <p>{{ document.customer.name }} ({{ document.region }}) has ordered:</p>
  <table>
    <tr><th>Article</th><th>Number</th><th>Price</th></tr>
    {% for item in document.items %}
    <tr><td>{{ item.name }}</td><td>{{ item.qty }}</td><td>{{ item.price | money("USD") }}</td></tr>
    {% endfor %}
  </table>
  <p class="amount">{{ document.amount | money("USD") }}</p>
  <p>{{ event.database }}.{{ event.collection }}, {{ event.time }}. Sent by the rule {{ rule.name }}.</p>
</body>
</html>
"""


def through_mtrigger(history: History, rules: Path, sink: Sink) -> float:
    """Mails a second, from the change stream to the outcome in the outbox."""
    server = SmtpServer("127.0.0.1", sink.port, encryption="none", connections=CONNECTIONS)
    rate = deliver(history, rules, server)
    assert (messages := sink.report().messages) == history.count, messages
    return rate


async def _sending(count: int, mail: bytes, port: int) -> None:
    mails = iter(range(count))

    async def send() -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
            for _ in mails:
                await client.sendmail(SENDER, [RECIPIENT], mail)

    await asyncio.gather(*(send() for _ in range(CONNECTIONS)))


def by_hand(count: int, mail: bytes, sink: Sink) -> float:
    """Mails a second of the raw loop."""
    began = time.perf_counter()
    interpreter.run(_sending(count, mail, sink.port))
    rate = count / (time.perf_counter() - began)
    assert (messages := sink.report().messages) == count, messages
    return rate


def _one_mail(history: History, rules: Path, sink: Sink) -> bytes:
    """A mail as mtrigger makes it."""
    server = SmtpServer("127.0.0.1", sink.port, encryption="none")
    deliver(history, rules, server)
    return sink.report().last.encode("latin-1")


def measure(sizes: Sizes) -> Iterator[Row]:
    """One row."""
    with (
        mongod(sizes.uri) as uri,
        sink("smtp") as receiver,
        rules_folder(RULE, templates={"order.html.j2": TEMPLATE}) as rules,
    ):
        mail = _one_mail(write_orders(uri, 1, 1), rules, receiver)
        history = write_orders(uri, sizes.of(EVENTS), 1)
        sides = {
            "mtrigger": partial(through_mtrigger, history, rules, receiver),
            "raw loop": partial(by_hand, history.count, mail, receiver),
        }
        ours, limit = take_turns("mails", sides, sizes.rounds).values()
    yield compared(
        f"mails rendered from HTML to a local server, {CONNECTIONS} connections, durable",
        "raw aiosmtplib loop sending ready bytes",
        ours,
        limit,
        at_least=0.3,
        rate=300,
        unit="mails/s",
    )


if __name__ == "__main__":
    run(measure, "Mails to a local server, rendered from HTML.")
