"""A shop for the acceptance tests: its database, its rules, and mtrigger watching it as a process."""

import re
from collections import Counter
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from support.command import Finished, MtriggerCommand, Running
from support.http_sink import HttpSink
from support.polling import eventually
from support.smtp_sink import SmtpSink

Document = dict[str, Any]

BIG_ORDER = """
name: big-order
on:
  collection: SHOP.orders
  operations: [insert, update]
when: amount > 10000
do:
  - email:
      to: sales-manager@example.com
      subject: "Big order {{ document.order_id }}"
      template: big-order.html.j2
retry: {first_delay: 50ms, max_delay: 200ms}
"""

BIG_ORDER_MAIL = (
    "<html><body><h1>Order {{ document.order_id }}</h1><p>{{ document.amount }}</p></body></html>"
)


@dataclass(frozen=True)
class Shop:
    """One test's shop. The state lives in a database of its own: beside the shop's, or on the server at
    `state_uri`, which `home` is a client of."""

    command: MtriggerCommand
    database: AsyncDatabase[Document]
    uri: str
    mail: SmtpSink
    web: HttpSink
    state_uri: str = ""
    home: AsyncMongoClient[Document] | None = None

    @property
    def orders(self) -> AsyncCollection[Document]:
        return self.database["orders"]

    @property
    def state(self) -> AsyncDatabase[Document]:
        home = self.home if self.home is not None else self.database.client
        return home[f"{self.database.name}_state"]

    @property
    def deliveries(self) -> AsyncCollection[Document]:
        return self.state["deliveries"]

    @property
    def folder(self) -> Path:
        return self.command.folder

    @property
    def environment(self) -> dict[str, str]:
        return {
            "MTRIGGER_URI": self.uri,
            **({"MTRIGGER_STATE_URI": self.state_uri} if self.state_uri else {}),
            "MTRIGGER_STATE_DB": self.state.name,
            "MTRIGGER_SMTP_URL": self.mail.url,
            "MTRIGGER_MAIL_FROM": "shop@example.com",
        }

    def rule(self, name: str, text: str) -> Path:
        """Write `triggers/<name>.yaml`. `SHOP` stands for the shop's database."""
        return self._write(f"triggers/{name}.yaml", text.replace("SHOP", self.database.name))

    def template(self, name: str, text: str) -> Path:
        """Write `templates/<name>`."""
        return self._write(f"templates/{name}", text)

    def big_order_rule(self) -> None:
        """The rule this project is about, and its template."""
        self.template("big-order.html.j2", BIG_ORDER_MAIL)
        self.rule("big-order", BIG_ORDER)

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def watch(self, *arguments: str) -> Running:
        """Start `mtrigger watch` and wait until it watches."""
        running = self.command.start("watch", "--rules", "triggers/", *arguments, env=self.environment)
        running.wait_for_line(r"watching .* from .* on")
        return running

    def run(self, *arguments: str, **environment: str) -> Finished:
        """Run another command to its end."""
        return self.command.run(*arguments, env={**self.environment, **environment})

    async def delivery(self, wanted: Document) -> Document:
        """The first row of the outbox that is as `wanted`, waited for."""
        rows = await eventually(lambda: self.deliveries.find(wanted).to_list())
        return rows[0]

    def mailed(self) -> Counter[str]:
        """How many mails came for each order, by the order's id in the subject."""
        subjects = (str(mail.message["Subject"]) for mail in list(self.mail.mails))
        return Counter(match[1] for subject in subjects if (match := re.search(r"Big order (\S+)", subject)))

    def messages(self) -> list[EmailMessage]:
        """The mails received so far."""
        return [mail.message for mail in list(self.mail.mails)]
