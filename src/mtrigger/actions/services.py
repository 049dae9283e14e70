"""What the actions of a running engine share: templates, and the connections to mail and web servers.

Made once by whoever runs actions, closed once when they are done. Connections are made when first needed.
"""

import socket

from mtrigger.actions.http import HttpPool
from mtrigger.actions.smtp import SmtpPool
from mtrigger.actions.smtp_server import SmtpServer
from mtrigger.templates import Templates


class Services:
    """`smtp` is None when no mail server is configured; `mail_from` is the sender of mails that name none."""

    def __init__(self, templates: Templates, smtp: SmtpServer | None = None, mail_from: str = "") -> None:
        self.templates = templates
        self.smtp = SmtpPool(smtp) if smtp is not None else None
        self.mail_from = mail_from or (smtp.default_sender if smtp is not None else "") or _local_sender()
        self.http = HttpPool()

    async def close(self) -> None:
        """Close all connections. No action may run any more."""
        await self.http.close()
        if self.smtp is not None:
            await self.smtp.close()


def _local_sender() -> str:
    """`mtrigger@` this machine's name, as cron and sendmail name their senders."""
    name = socket.gethostname().lower()
    fit = all(label and label.replace("-", "x").isalnum() and label.isascii() for label in name.split("."))
    return f"mtrigger@{name if fit else 'localhost'}"
