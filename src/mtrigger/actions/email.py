"""The `email` action: a rule's templates and one delivery become a mail, and the mail server takes it.

Keeps two promises: every attempt at a delivery carries the same Message-ID, so that a receiver can drop a
double; and what a document holds can change the words of a mail, never its headers or its markup.
"""

import functools
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from mtrigger.actions.addresses import MailAddress, parse_address, parse_addresses
from mtrigger.actions.base import ActionKind, Preview, Work
from mtrigger.actions.email_settings import (
    AttachmentConfig,
    EmailConfig,
    email_mistakes,
    email_needs,
    email_reads,
    is_markup,
    text_sibling,
)
from mtrigger.actions.held_back import HELD_BACK, held_back_note
from mtrigger.actions.mail_message import Attachment, Mail, mail_bytes
from mtrigger.actions.mail_text import text_from_html
from mtrigger.actions.services import Services
from mtrigger.actions.smtp import MailNotSent
from mtrigger.errors import PermanentError
from mtrigger.templates import (
    RenderError,
    Scope,
    Template,
    Templates,
    ValueTemplate,
    escapes,
    printed,
    scope_of,
)


class EmailAction:
    """One `email` entry of a rule, its templates compiled."""

    def __init__(self, config: EmailConfig, services: Services) -> None:
        server = config.own_server()
        self._server = str(server) if server is not None else ""
        self._smtp = services.mail_pool(server) if server is not None else services.smtp
        own_sender = server.default_sender if server is not None else ""
        address = services.templates.address
        self._sender = address(
            config.sender if config.sender is not None else own_sender or services.mail_from
        )
        self._people = {
            "to": [address(source) for source in config.to],
            "cc": [address(source) for source in config.cc],
            "bcc": [address(source) for source in config.bcc],
            "reply_to": [address(source) for source in config.reply_to],
        }
        self._subject = services.templates.text(config.subject)
        self._html, self._text = _bodies(config, services.templates)
        self._attachments = [_AttachmentTemplate(entry, services.templates) for entry in config.attachments]
        read = email_reads(config, services.templates)
        self._tells_what_was_held_back = read is not None and HELD_BACK in read

    async def run(self, work: Work) -> str:
        """Send the mail; returns the server's answer. Raises PermanentError, MailNotSent or, before there is
        a mail, DestinationDown."""
        if self._smtp is not None:
            self._smtp.check()
        mail = self._compose(work)
        message = mail_bytes(mail)
        if self._smtp is None:
            raise MailNotSent(
                "no mail server is configured: set MTRIGGER_SMTP_URL (smtp://user:password@host:587)"
            )
        return await self._smtp.send(mail.sender.bare, mail.recipients, message)

    def preview(self, work: Work) -> Preview:
        """The mail as its reader would see it."""
        mail = self._compose(work)
        message = mail_bytes(mail)
        parts = {
            "From": _shown([mail.sender]),
            "To": _shown(mail.to),
            "Cc": _shown(mail.cc),
            "Bcc": _shown(mail.bcc),
            "Reply-To": _shown(mail.reply_to),
            "Subject": mail.subject,
            "Text": mail.text or "",
            "HTML": mail.html or "",
            "Attachments": "\n".join(f"{file.name} ({len(file.content)} bytes)" for file in mail.attachments),
            "Mail server": self._server,
            "Headers": message.partition(b"\r\n\r\n")[0].decode("utf-8").replace("\r\n", "\n"),
        }
        return Preview(
            summary=f"mail to {', '.join(mail.recipients)}: {mail.subject}",
            parts={heading: text for heading, text in parts.items() if text},
        )

    def _compose(self, work: Work) -> Mail:
        scope = scope_of(work.scope)
        people = {key: _addresses(key, sources, scope) for key, sources in self._people.items()}
        if not (people["to"] or people["cc"] or people["bcc"]):
            raise PermanentError("the mail has no recipient: all of its addresses are empty")
        sender = _sender(self._sender, scope)
        html, text = self._body(work, scope)
        now = scope.get("now")
        return Mail(
            sender=sender,
            subject=_rendered("subject", self._subject, scope).strip(),
            message_id=f"<{work.delivery_id}@{sender.domain}>",
            date=now if isinstance(now, datetime) else datetime.now(UTC),
            to=people["to"],
            cc=people["cc"],
            bcc=people["bcc"],
            reply_to=people["reply_to"],
            html=html,
            text=text,
            attachments=[attachment.filled(scope) for attachment in self._attachments],
            headers={
                "Auto-Submitted": "auto-generated",  # RFC 3834: no out-of-office answers, please
                "X-Mtrigger-Rule": work.rule,
                "X-Mtrigger-Delivery": work.delivery_id,
            },
        )

    def _body(self, work: Work, scope: Scope) -> tuple[str | None, str | None]:
        """The HTML and the text, each with a last paragraph on what was held back that nothing else tells."""
        note = "" if self._tells_what_was_held_back else held_back_note(work, "mail")
        html = text = None
        if self._html is not None:
            paragraph = f"\n<p>{note}</p>\n" if note else ""  # behind </body>, which readers put into it
            html = _inlined(_rendered("html", self._html, scope) + paragraph)
        if self._text is not None:
            text = _rendered("text", self._text, scope)
            text = f"{text.rstrip()}\n\n{note}\n" if note else text
        elif html is not None:
            text = text_from_html(html)
        return html, text


class _AttachmentTemplate:
    """One entry of `attachments:`, its templates compiled."""

    def __init__(self, config: AttachmentConfig, templates: Templates) -> None:
        self._name = templates.text(config.name)
        self._type = templates.text(config.type or "")
        self._content: Template | ValueTemplate
        if config.template is not None:
            self._content = templates.file(config.template)
        else:
            source = config.content or ""
            self._content = templates.html(source) if is_markup(config) else templates.value(source)

    def filled(self, scope: Scope) -> Attachment:
        """The attachment for one delivery: binary values as they are, everything else as UTF-8 text."""
        content = _rendered("attachment", self._content, scope)
        data = (
            bytes(content) if isinstance(content, bytes) else str(printed(content)).encode("utf-8", "replace")
        )
        name = _rendered("the name of an attachment", self._name, scope)
        return Attachment(name, data, _rendered("the type of an attachment", self._type, scope).strip())


def _bodies(config: EmailConfig, templates: Templates) -> tuple[Template | None, Template | None]:
    """The templates of the HTML and of the text: in place, or the file and the text file beside it."""
    html = templates.html(config.html) if config.html is not None else None
    text = templates.text(config.text) if config.text is not None else None
    if config.template is not None:
        body = templates.file(config.template)
        if not escapes(config.template):
            return html, text or body
        html = body
        sibling = text_sibling(config.template, templates)
        if text is None and sibling is not None:
            text = templates.file(sibling)
    return html, text


def _rendered(part: str, template: Any, scope: Scope) -> Any:
    try:
        return template.render(scope)
    except RenderError as error:
        raise error.within(part) from error


def _addresses(key: str, sources: Iterable[Template], scope: Scope) -> list[MailAddress]:
    found: list[MailAddress] = []
    for source in sources:
        try:
            found.extend(parse_addresses(_rendered(key, source, scope)))
        except ValueError as error:
            raise PermanentError(f"{key}: {error}") from error
    return found


def _sender(source: Template, scope: Scope) -> MailAddress:
    try:
        return parse_address(_rendered("from", source, scope))
    except ValueError as error:
        raise PermanentError(f"from: {error}") from error


@functools.cache
def _inliner() -> Any:
    import css_inline

    # Nothing is fetched from anywhere; @media rules cannot be inlined and stay in a <style> element.
    return css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)


def _inlined(html: str) -> str:
    """`html` with its style sheets moved into `style` attributes, since many mail readers drop the sheets."""
    import css_inline

    try:
        inlined: str = _inliner().inline(html)
    except css_inline.InlineError as error:
        raise PermanentError(f"the mail's style sheet cannot be used: {error}") from error
    return inlined


def _shown(people: Sequence[MailAddress]) -> str:
    return ", ".join(f"{person.name} <{person.bare}>" if person.name else person.bare for person in people)


KIND = ActionKind(
    name="email",
    config=EmailConfig,
    mistakes=email_mistakes,
    reads=email_reads,
    open=EmailAction,
    needs=email_needs,
)
