"""The settings of an `email` action in a rule file, and everything that can be wrong with them beforehand."""

import re
from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from mtrigger.actions.addresses import parse_address, parse_addresses
from mtrigger.actions.base import ActionConfig, ConfigMistake, Need
from mtrigger.actions.smtp_server import SmtpServer
from mtrigger.actions.template_texts import names_in, text_mistakes
from mtrigger.config_types import OneOrMore
from mtrigger.errors import SettingsError
from mtrigger.templates import TemplateMistake, Templates, escapes, is_static

Path = tuple[str | int, ...]

_HTML_FILE = re.compile(r"\.x?html?((?:\.(?:j2|jinja2?))?)", re.IGNORECASE)


class AttachmentConfig(BaseModel):
    """A file that goes with the mail: its content in place, or from a template file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, description="The file's name, as the reader sees it")
    content: str | None = Field(None, description="The content; `{{ … }}` alone may be binary data")
    template: str | None = Field(None, description="A file in the templates folder that makes the content")
    type: str | None = Field(
        None, description="The content type, such as text/csv; guessed from the name if absent"
    )


class EmailConfig(ActionConfig):
    """Send a mail. Every text is a template; recipients may hold several addresses, separated by commas."""

    to: OneOrMore[str] = Field((), description="Recipients")
    cc: OneOrMore[str] = Field((), description="Recipients of a copy")
    bcc: OneOrMore[str] = Field((), description="Recipients of a copy whom nobody else sees")
    reply_to: OneOrMore[str] = Field((), description="Where answers go")
    sender: str | None = Field(None, alias="from", description="The sender (default: MTRIGGER_MAIL_FROM)")
    subject: str = Field(description="The subject")
    template: str | None = Field(None, description="The body: a file in the templates folder")
    html: str | None = Field(None, description="The body, in place, as HTML")
    text: str | None = Field(None, description="The body as plain text, or the text part beside the HTML")
    attachments: tuple[AttachmentConfig, ...] = Field((), description="Files that go with the mail")
    smtp: SecretStr | None = Field(
        None, description="A mail server of its own (default: MTRIGGER_SMTP_URL). Not a template"
    )

    def own_server(self) -> SmtpServer | None:
        """The server in `smtp:`, None where there is none. Raises SettingsError."""
        return SmtpServer.parse(self.smtp.get_secret_value(), "`smtp`") if self.smtp is not None else None


def email_mistakes(config: EmailConfig, templates: Templates) -> Iterator[ConfigMistake]:
    """What is wrong with `config` beyond its form, all of it."""
    if not (config.to or config.cc or config.bcc):
        yield ConfigMistake((), "no recipient: give at least one of `to`, `cc` and `bcc`")
    for key, recipients in (
        ("to", config.to),
        ("cc", config.cc),
        ("bcc", config.bcc),
        ("reply_to", config.reply_to),
    ):
        for place, source in enumerate(recipients):
            path: Path = (key, place) if len(recipients) > 1 else (key,)
            yield from _recipient_mistakes(source, path, templates)
    if config.sender is not None:
        yield from _sender_mistakes(config.sender, templates)
    try:
        config.own_server()
    except SettingsError as error:
        yield ConfigMistake(("smtp",), str(error))
    yield from text_mistakes(config.subject, ("subject",), templates)
    yield from _body_mistakes(config, templates)
    for place, attachment in enumerate(config.attachments):
        yield from _attachment_mistakes(attachment, ("attachments", place), templates)


def email_needs(config: EmailConfig) -> frozenset[Need]:
    """The mail server for all rules, unless the mail has one of its own."""
    return frozenset({"smtp"}) if config.smtp is None else frozenset()


def email_reads(config: EmailConfig, templates: Templates) -> frozenset[str] | None:
    """The names that the mail's texts, its body and its attachments may read. A sender that is not in
    `config` is the same for all rules; it is taken to be an address and no template."""
    texts = [*config.to, *config.cc, *config.bcc, *config.reply_to, config.sender, config.subject]
    texts += [config.html, config.text]
    files = [config.template]
    if config.template is not None and config.text is None:
        files.append(text_sibling(config.template, templates))
    for attachment in config.attachments:
        texts += [attachment.name, attachment.content, attachment.type]
        files.append(attachment.template)
    return names_in(_given(texts), templates, _given(files))


def _given(texts: Iterable[str | None]) -> list[str]:
    return [text for text in texts if text is not None]


def text_sibling(name: str, templates: Templates) -> str | None:
    """The template of the text part that lies beside the HTML template `name`, if there is one."""
    for ending in (r".txt\1", ".txt"):
        sibling, found = _HTML_FILE.subn(ending, name)
        if found and templates.has(sibling):
            return sibling
    return None


def is_markup(attachment: AttachmentConfig) -> bool:
    """Whether the content of an attachment is HTML or XML, so that values in it have to be escaped."""
    if attachment.type is not None:
        return attachment.type.lower().endswith(("html", "xml"))
    return escapes(attachment.name)


def _recipient_mistakes(source: str, path: Path, templates: Templates) -> Iterator[ConfigMistake]:
    yield from text_mistakes(source, path, templates)
    if is_static(source):
        try:
            found = parse_addresses(source)
        except ValueError as error:
            yield ConfigMistake(path, f"{error}; write user@example.com or Name <user@example.com>")
        else:
            if not found:
                yield ConfigMistake(path, "an address is empty")


def _sender_mistakes(source: str, templates: Templates) -> Iterator[ConfigMistake]:
    yield from text_mistakes(source, ("from",), templates)
    if is_static(source):
        try:
            parse_address(source)
        except ValueError as error:
            yield ConfigMistake(("from",), f"{error}; write user@example.com or Name <user@example.com>")


def _body_mistakes(config: EmailConfig, templates: Templates) -> Iterator[ConfigMistake]:
    if config.template is None and config.html is None and config.text is None:
        yield ConfigMistake((), "no body: give a `template` file, or `html` or `text` in place")
    if config.template is not None and config.html is not None:
        yield ConfigMistake(("html",), "both `template` and `html` make the HTML: keep one of them")
    if config.template is not None and config.text is not None and not escapes(config.template):
        yield ConfigMistake(
            ("text",), "both `template` (a text file) and `text` make the text: keep one of them"
        )
    if config.template is not None:
        yield from _file_mistakes(config.template, ("template",), templates)
        sibling = text_sibling(config.template, templates)
        if sibling is not None and config.text is None:
            yield from _file_mistakes(sibling, ("template",), templates)
    if config.html is not None:
        yield from text_mistakes(config.html, ("html",), templates)
    if config.text is not None:
        yield from text_mistakes(config.text, ("text",), templates)


def _attachment_mistakes(
    attachment: AttachmentConfig, path: Path, templates: Templates
) -> Iterator[ConfigMistake]:
    if (attachment.content is None) == (attachment.template is None):
        yield ConfigMistake(path, "give either the `content` of the attachment or its `template` file")
    if attachment.template is not None:
        yield from _file_mistakes(attachment.template, (*path, "template"), templates)
    for key in ("name", "content", "type"):
        source: str | None = getattr(attachment, key)
        if source is not None:
            yield from text_mistakes(source, (*path, key), templates)


def _file_mistakes(name: str, path: Path, templates: Templates) -> Iterator[ConfigMistake]:
    """Mistakes of a template file; the name of the file is itself no template."""
    if not is_static(name):
        yield ConfigMistake(path, "the name of a template file is fixed, so that it can be checked")
        return
    try:
        template = templates.file(name)
    except TemplateMistake as mistake:
        yield ConfigMistake(path, mistake.message, mistake.line if mistake.file else 0, file=mistake.file)
        return
    for stranger in templates.mistakes(template):
        yield ConfigMistake(path, stranger.message, stranger.line, file=stranger.file)
