"""The `email` action: from a rule's settings and one delivery to a mail."""

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from bson.binary import Binary
from bson.decimal128 import Decimal128
from hypothesis import example, given
from hypothesis import strategies as st

from mtrigger.actions import kind
from mtrigger.actions.email import KIND, EmailAction
from mtrigger.actions.mail_message import mail_bytes
from mtrigger.actions.services import Services
from mtrigger.actions.smtp import MailNotSent
from mtrigger.actions.smtp_server import SmtpServer
from mtrigger.errors import PermanentError
from mtrigger.templates import Templates
from support.works import DELIVERY_ID, work_for_document

HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Mtrigger-Rule",
    "X-Mtrigger-Delivery",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "order.html.j2": "<style>p { color: red } @media print { p { color: black } }</style>"
        "<p>{{ document.name }}</p>",
        "order.txt.j2": "text of {{ document.name }}",
        "lonely.html": "<p>only {{ document.name }}</p>",
        "plain.txt": "plain {{ document.name }}",
        "broken.html.j2": "ok\n{{ document. }}",
        "strange.html.j2": "ok\n{{ documnt.name }}",
        "sheet.html": "<link rel=stylesheet href='file:///etc/passwd'><link rel=stylesheet href='http://127.0.0.1:9/x.css'><p>x</p>",
        "badsibling.html": "<p>x</p>",
        "badsibling.txt": "{% if %}",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


def action(settings: dict[str, Any], folder: Path | None = None) -> EmailAction:
    defaults = {"to": "a@example.com", "from": "Shop <alerts@shop.example>", "subject": "s"}
    config = KIND.config.model_validate({**defaults, **settings})
    opened = KIND.open(config, Services(Templates(folder)))
    assert isinstance(opened, EmailAction)
    return opened


def parts(
    settings: dict[str, Any], document: dict[str, Any] | None = None, folder: Path | None = None
) -> dict[str, str]:
    return dict(action(settings, folder).preview(work_for_document(document or {"name": "A & B"})).parts)


def mistakes(
    settings: dict[str, Any], folder: Path | None = None
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    config = KIND.config.model_validate({"to": "a@example.com", "subject": "s", **settings})
    for mistake in KIND.mistakes(config, Templates(folder)):
        place = f"{mistake.file}:{mistake.line}: " if mistake.file else ""
        yield mistake.path, place + mistake.message


def test_email_is_a_kind_that_needs_a_mail_server_unless_it_brings_its_own() -> None:
    """The registry finds it, and the engine can ask what it needs."""
    assert kind("email") is KIND
    mail = {"to": "a@example.com", "subject": "s", "text": "t"}
    assert KIND.needs(KIND.config.model_validate(mail)) == {"smtp"}
    assert KIND.needs(KIND.config.model_validate({**mail, "smtp": "smtp://mail.example"})) == frozenset()


def test_every_string_is_a_template() -> None:
    """Recipients, sender, subject, bodies, attachments."""
    shown = parts(
        {
            "to": ["{{ document.to }}", "Second <b@example.com>"],
            "cc": "{{ document.to }}",
            "bcc": "c@example.com, d@example.com",
            "reply_to": "{{ document.to }}",
            "from": "{{ document.name }} <x@example.com>",
            "subject": "Order {{ document.name }}",
            "html": "<p>{{ document.name }}</p>",
            "text": "Text {{ document.name }}",
            "attachments": [{"name": "{{ document.name }}.txt", "content": "{{ document.name }}"}],
        },
        {"name": "A & B", "to": "Zoë <z@example.com>"},
    )
    headers = shown.pop("Headers")
    html = shown.pop("HTML")
    assert shown == {
        "From": "A & B <x@example.com>",
        "To": "Zoë <z@example.com>, Second <b@example.com>",
        "Cc": "Zoë <z@example.com>",
        "Bcc": "c@example.com, d@example.com",
        "Reply-To": "Zoë <z@example.com>",
        "Subject": "Order A & B",
        "Text": "Text A & B",
        "Attachments": "A & B.txt (5 bytes)",
    }
    assert "<p>A &amp; B</p>" in html
    assert "c@example.com" not in headers


def test_the_headers_say_what_a_machine_sent_and_why() -> None:
    """The Message-ID is the delivery's, so that a repetition can be recognised."""
    message = email.message_from_string(parts({"text": "x"})["Headers"], policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message["Message-ID"] == f"<{DELIVERY_ID}@shop.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Mtrigger-Rule"] == "big-order"
    assert message["X-Mtrigger-Delivery"] == DELIVERY_ID
    assert list(message.keys())[: len(HEADERS)] == HEADERS


@pytest.mark.parametrize(
    ("settings", "text", "html"),
    [
        ({"template": "order.html.j2"}, "text of A & B", True),
        ({"template": "order.html.j2", "text": "own words"}, "own words", True),
        ({"template": "lonely.html"}, "only A & B\n", True),
        ({"template": "plain.txt"}, "plain A & B", False),
        ({"html": "<p>in place</p>"}, "in place\n", True),
        ({"text": "words"}, "words", False),
    ],
)
def test_where_the_text_part_comes_from(
    folder: Path, settings: dict[str, Any], text: str, html: bool
) -> None:
    """Written in the rule, or the file beside the template, or made from the HTML."""
    shown = parts(settings, folder=folder)
    assert shown["Text"] == text
    assert ("HTML" in shown) == html


def test_styles_are_inlined_and_media_rules_kept(folder: Path) -> None:
    """Mail readers that drop style sheets still show the colour; the others get the media rules too."""
    html = parts({"template": "order.html.j2"}, folder=folder)["HTML"]
    assert '<p style="color: red;">A &amp; B</p>' in html
    assert "@media print" in html


def test_nothing_is_fetched_for_a_mail(folder: Path) -> None:
    """Neither files nor addresses that a style sheet names."""
    html = parts({"template": "sheet.html"}, folder=folder)["HTML"]
    assert "root:" not in html
    assert "<p>x</p>" in html


def test_attachments_keep_binary_values_and_escape_markup() -> None:
    """Bytes go as they are, numbers as they print, documents as JSON; in HTML files values are escaped."""
    config = {
        "text": "x",
        "attachments": [
            {"name": "a.bin", "content": "{{ document.data }}"},
            {"name": "b.txt", "content": "{{ document.price }}"},
            {"name": "c.json", "content": "{{ document.inner }}"},
            {"name": "d.html", "content": "<p>{{ document.name }}</p>"},
            {"name": "e", "content": "<a>{{ document.name }}</a>", "type": "application/xml"},
        ],
    }
    document = {"data": Binary(b"\x00\xff"), "price": Decimal128("1.50"), "inner": {"a": [1]}, "name": "<&>"}
    mail = action(config)._compose(work_for_document(document))
    assert [(file.name, file.content) for file in mail.attachments] == [
        ("a.bin", b"\x00\xff"),
        ("b.txt", b"1.50"),
        ("c.json", b'{"a": [1]}'),
        ("d.html", b"<p>&lt;&amp;&gt;</p>"),
        ("e", b"<a>&lt;&amp;&gt;</a>"),
    ]


@pytest.mark.parametrize(
    ("settings", "document", "message"),
    [
        (
            {"subject": "{{ document.name }}"},
            {"name": "a\r\nBcc: spy@example.com"},
            "Subject would contain a line break",
        ),
        (
            {"subject": "{{ document.name }}"},
            {"name": "a\x07b"},
            r"Subject would contain the control character U\+0007",
        ),
        (
            {"to": "{{ document.name }}"},
            {"name": "a@example.com\nBcc: b@example.com"},
            "to: .* is not a mail address",
        ),
        ({"to": "{{ document.name }}"}, {"name": "nobody"}, "to: 'nobody' is not a mail address"),
        ({"to": "{{ document.name }}"}, {"name": ""}, "no recipient"),
        ({"from": "{{ document.name }}"}, {"name": "x"}, "from: 'x' is not a mail address"),
        ({"cc": "{{ document.name }}"}, {"name": "a@b@c"}, "cc: "),
        (
            {"subject": "{{ document.nme }}"},
            {"name": "x"},
            "subject: document has no field 'nme'; did you mean 'name'",
        ),
        ({"html": "\n{{ document.nme }}"}, {"name": "x"}, "html: line 2: document has no field 'nme'"),
    ],
)
def test_what_cannot_become_a_mail_is_a_permanent_error(
    settings: dict[str, Any], document: dict[str, Any], message: str
) -> None:
    """It names the part, so that the dead letter explains itself."""
    with pytest.raises(PermanentError, match=message):
        parts({"text": "x", **settings}, document)


@given(name=st.text(max_size=80), address=st.text(max_size=40))
@example(name='x" <spy@example.com>, "y', address="a@example.com")
@example(name="x <spy@example.com>", address="a@example.com, spy@example.com")
@example(name="x", address="a@example.com>, <spy@example.com")
def test_no_document_adds_a_header_or_a_recipient(name: str, address: str) -> None:
    """Fields in the subject, in a display name, in an address: these headers and recipients, or an error."""
    settings = {
        "to": ['"{{ document.name }}" <one@example.com>', "{{ document.name }} <two@example.com>"],
        "bcc": "three@example.com, Four <{{ document.address }}>",
        "reply_to": "{{ document.address }}",
        "subject": "{{ document.name }}",
        "text": "x",
    }
    try:
        mail = action(settings)._compose(work_for_document({"name": name, "address": address}))
        head = mail_bytes(mail).partition(b"\r\n\r\n")[0].decode()
    except PermanentError:
        return
    assert [person.bare for person in mail.to] == ["one@example.com", "two@example.com"]
    assert [person.bare for person in mail.bcc[:1]] == ["three@example.com"]
    assert len(mail.bcc) == 2
    found = [line.partition(":")[0] for line in head.split("\r\n") if not line.startswith(" ")]
    expected = [*HEADERS[:2], *(["Reply-To"] if mail.reply_to else []), *HEADERS[2:]]
    assert found[: len(expected)] == expected
    assert set(found[len(expected) :]) == {"MIME-Version", "Content-Type", "Content-Transfer-Encoding"}


@pytest.mark.parametrize("to", ["{{ document.watchers }}", "{{ document.watchers | join(', ') }}"])
def test_a_field_alone_may_hold_several_addresses(to: str) -> None:
    """Recipients from a document: a list joined with commas, names included."""
    document = {"watchers": ["Ann <a@example.com>", "b@example.com"]}
    shown = parts({"text": "x", "to": to}, document)
    assert shown["To"] == "Ann <a@example.com>, b@example.com"


@pytest.mark.parametrize(
    ("settings", "path", "message"),
    [
        ({}, (), "no body: give a `template` file, or `html` or `text` in place"),
        ({"template": "order.html.j2", "html": "x"}, ("html",), "both `template` and `html` make the HTML"),
        ({"template": "plain.txt", "text": "x"}, ("text",), "both `template` (a text file) and `text`"),
        ({"template": "broken.html.j2"}, ("template",), "broken.html.j2:2: expected name or number"),
        ({"template": "badsibling.html"}, ("template",), "badsibling.txt:1: Expected an expression"),
        ({"template": "strange.html.j2"}, ("template",), "strange.html.j2:2: there is no 'documnt' here"),
        ({"template": "{{ document.t }}"}, ("template",), "the name of a template file is fixed"),
        ({"text": "{{ x"}, ("text",), "unexpected end of template"),
        ({"text": "x", "to": "nobody"}, ("to",), "'nobody' is not a mail address; write user@example.com"),
        ({"text": "x", "to": ["a@b.example", "c@"]}, ("to", 1), "'c@' is not a mail address"),
        ({"text": "x", "to": ","}, ("to",), "an address is empty"),
        ({"text": "x", "from": "a@x.example, b@x.example"}, ("from",), "is not a mail address"),
        ({"text": "x", "attachments": [{"name": "a"}]}, ("attachments", 0), "give either the `content`"),
        (
            {"text": "x", "attachments": [{"name": "{{ amount }}", "content": ""}]},
            ("attachments", 0, "name"),
            "there is no 'amount' here; a field of the document is written document.amount",
        ),
    ],
)
def test_a_mistake_is_found_before_the_first_event(
    folder: Path, settings: dict[str, Any], path: tuple[str | int, ...], message: str
) -> None:
    """At its key, or in its template file."""
    ((found_path, found_message),) = mistakes(settings, folder)
    assert found_path == path
    assert message in found_message


@pytest.mark.parametrize(
    "settings",
    [
        {"template": "order.html.j2"},
        {"template": "order.html.j2", "text": "own words"},
        {"text": "x", "to": "{{ document.to }}", "from": "{{ document.from }}"},
        {"text": "x", "attachments": [{"name": "a", "template": "lonely.html"}]},
    ],
)
def test_what_is_right_has_no_mistakes(folder: Path, settings: dict[str, Any]) -> None:
    """Settings that only an event can judge are left to it."""
    assert list(mistakes(settings, folder)) == []


def test_a_mail_without_any_recipient_is_a_mistake() -> None:
    """One of to, cc and bcc has to be there."""
    config = KIND.config.model_validate({"subject": "s", "text": "x"})
    (mistake,) = KIND.mistakes(config, Templates(None))
    assert mistake.message == "no recipient: give at least one of `to`, `cc` and `bcc`"


def test_a_template_that_is_not_there_is_a_mistake_with_a_hint(folder: Path) -> None:
    """The nearest name is offered."""
    ((path, message),) = mistakes({"template": "oder.html.j2"}, folder)
    assert path == ("template",)
    assert message.endswith("did you mean 'order.html.j2'?")


async def test_without_a_mail_server_the_mail_waits() -> None:
    """A start without MTRIGGER_SMTP_URL must not bury what is owed."""
    with pytest.raises(MailNotSent, match="MTRIGGER_SMTP_URL"):
        await action({"text": "x"}).run(work_for_document({}))


def test_a_sender_is_always_known() -> None:
    """The rule's, or the configured one, or this machine's."""
    config = KIND.config.model_validate({"to": "a@example.com", "subject": "s", "text": "x"})
    configured = KIND.open(config, Services(Templates(None), mail_from="Alerts <x@example.com>"))
    assert configured.preview(work_for_document({})).parts["From"] == "Alerts <x@example.com>"
    machine = KIND.open(config, Services(Templates(None)))
    assert machine.preview(work_for_document({})).parts["From"].startswith("mtrigger@")


OWN_SERVER = "smtp://alerts%40shop.example:hunter2@mail.example:2525?tls=none"


def test_a_mail_may_have_a_mail_server_of_its_own() -> None:
    """Whose user is the sender if it is an address, before the usual one; its password is shown nowhere."""
    settings = {"to": "a@example.com", "subject": "s", "text": "x", "smtp": OWN_SERVER}
    config = KIND.config.model_validate(settings)
    services = Services(Templates(None), mail_from="usual@example.com")
    shown = KIND.open(config, services).preview(work_for_document({})).parts
    assert shown["From"] == "alerts@shop.example"
    assert "mail.example:2525" in shown["Mail server"]
    assert "hunter2" not in repr(shown) + repr(config)
    own_sender = KIND.config.model_validate({**settings, "from": "x@example.com"})
    assert KIND.open(own_sender, services).preview(work_for_document({})).parts["From"] == "x@example.com"
    nameless = KIND.config.model_validate({**settings, "smtp": "smtp://user:hunter2@mail.example"})
    assert KIND.open(nameless, services).preview(work_for_document({})).parts["From"] == "usual@example.com"


def test_rules_with_the_same_mail_server_share_its_connections() -> None:
    """However its address is written; also with the server of all rules."""
    services = Services(Templates(None), SmtpServer.parse(OWN_SERVER))
    same = services.mail_pool(SmtpServer.parse(OWN_SERVER.replace("/?", "?") + "&timeout=30s", "`smtp`"))
    other = services.mail_pool(SmtpServer.parse(OWN_SERVER.replace("alerts", "others")))
    assert same is services.smtp
    assert other is not services.smtp


@pytest.mark.parametrize("url", ["mail.example", "smtp://u:hunter2@h?tls=maybe", ""])
def test_an_own_mail_server_that_cannot_be_used_is_a_mistake(url: str) -> None:
    """Said of the key, without the password."""
    ((path, message),) = mistakes({"text": "x", "smtp": url})
    assert path == ("smtp",)
    assert message.startswith("The SMTP address (`smtp`) cannot be used: ")
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("held_back", "sentence"),
    [
        (1, "1 more like this was held back since the last mail."),
        (12, "12 more like this were held back since the last mail."),
    ],
)
@pytest.mark.parametrize(
    "settings",
    [
        {"text": "hello"},
        {"html": "<html><body><p>hello</p></body></html>"},
        {"html": "<p>hello</p>", "text": "hello"},
        {"template": "lonely.html"},
    ],
)
def test_what_was_held_back_is_the_last_paragraph_of_a_mail(
    folder: Path, settings: dict[str, Any], held_back: int, sentence: str
) -> None:
    """Of the text and of the HTML, once in each."""
    work = work_for_document({"name": "x"}, held_back=held_back)
    shown = action(settings, folder).preview(work).parts
    assert shown["Text"].rstrip().endswith(f"\n\n{sentence}")
    assert shown["Text"].count(sentence) == 1
    if "HTML" in shown:
        assert f"<p>{sentence}</p>" in shown["HTML"]
        assert shown["HTML"].index(sentence) < shown["HTML"].index("</body>")
        assert shown["HTML"].index(sentence) > shown["HTML"].index("</p>")


@pytest.mark.parametrize(
    ("settings", "held_back"),
    [
        ({"text": "hello"}, 0),
        ({"text": "hello and {{ held_back }} more"}, 5),
        ({"text": "hello", "subject": "{% if held_back %}more{% endif %}"}, 5),
        ({"html": "<p>{{ held_back }} more</p>", "text": "hello"}, 5),
    ],
)
def test_nothing_is_added_when_nothing_was_held_back_or_the_mail_says_it(
    settings: dict[str, Any], held_back: int
) -> None:
    """Anywhere in it."""
    shown = action(settings).preview(work_for_document({}, held_back=held_back)).parts
    assert "held back" not in str(shown)
