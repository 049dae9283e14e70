"""What the actions of a running engine share: templates, the connections to mail servers, web servers and
brokers, and what is known of servers that are down.

Made once by whoever runs actions, closed once when they are done. Connections are made when first needed.
"""

import socket
from typing import Any
from weakref import WeakValueDictionary

from mtrigger.actions.breakers import Breakers
from mtrigger.actions.brokers import Broker, ConnectionT, Server
from mtrigger.actions.http import HttpPool
from mtrigger.actions.processes import Processes
from mtrigger.actions.smtp import SmtpPool
from mtrigger.actions.smtp_server import SmtpServer
from mtrigger.templates import Templates


class Services:
    """`smtp` is None when no mail server is configured; `mail_from` is the sender of mails that name none."""

    def __init__(self, templates: Templates, smtp: SmtpServer | None = None, mail_from: str = "") -> None:
        self.templates = templates
        self.breakers = Breakers()
        self._mail_pools: WeakValueDictionary[SmtpServer, SmtpPool] = WeakValueDictionary()
        self._brokers: dict[object, Broker[Any]] = {}
        self.smtp = self.mail_pool(smtp) if smtp is not None else None
        self.mail_from = mail_from or (smtp.default_sender if smtp is not None else "") or _local_sender()
        self.http = HttpPool(self.breakers)
        self.processes = Processes()

    def mail_pool(self, server: SmtpServer) -> SmtpPool:
        """The connections to `server`, the same for all who use it. They are kept as long as anybody does."""
        pool = self._mail_pools.get(server)
        if pool is None:
            pool = self._mail_pools[server] = SmtpPool(server, self.breakers)
        return pool

    def broker(self, server: Server[ConnectionT]) -> Broker[ConnectionT]:
        """The connection to `server`, the same for all who use it. It is made when it is needed, and closed
        when nobody has needed it for a while."""
        broker: Broker[ConnectionT] | None = self._brokers.get(server)
        if broker is None:
            broker = self._brokers[server] = Broker(server, self.breakers)
        return broker

    async def close(self) -> None:
        """Close all connections. No action may run any more."""
        self.breakers.close()
        await self.http.close()
        for pool in list(self._mail_pools.values()):
            await pool.close()
        for broker in self._brokers.values():
            await broker.close()


def _local_sender() -> str:
    """`mtrigger@` this machine's name, as cron and sendmail name their senders."""
    name = socket.gethostname().lower()
    fit = all(label and label.replace("-", "x").isalnum() and label.isascii() for label in name.split("."))
    return f"mtrigger@{name if fit else 'localhost'}"
