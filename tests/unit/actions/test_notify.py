"""A message goes to one address, and of the address nothing is ever shown."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from mtrigger.actions.base import ConfigMistake
from mtrigger.actions.notify import KIND, NotificationFailed, NotifyConfig, hidden, service_of
from mtrigger.actions.services import Services
from mtrigger.templates import RenderError, Templates
from support.http_sink import Answer, HttpSink
from support.works import work_for_document

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise's own

TEMPLATES = Templates(None)
WORK = work_for_document({"_id": 1, "name": "<b>A & B"})


def config(*urls: str, **settings: Any) -> NotifyConfig:
    """Settings with these addresses."""
    return NotifyConfig.model_validate({"urls": urls, "body": "new: {{ document.name }}", **settings})


def mistakes(found: NotifyConfig) -> list[ConfigMistake]:
    """What is wrong with them."""
    return list(KIND.mistakes(found, TEMPLATES))


async def test_the_message_goes_to_the_service(http_sink: HttpSink) -> None:
    """With its title and its kind, and what the document holds as it is."""
    settings = config(f"json://127.0.0.1:{http_sink.port}/", title="Order {{ document._id }}", type="warning")
    assert await KIND.open(settings, Services(TEMPLATES)).run(WORK) == "sent through json"
    (request,) = http_sink.requests
    sent = request.json()
    assert (sent["title"], sent["message"], sent["type"]) == ("Order 1", "new: <b>A & B", "warning")


class Lines(logging.Handler):
    """Keeps what is logged. (pytest's own handler also sees what mtrigger's log would not.)"""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.text += f"{record.name}: {record.getMessage()}\n"


@pytest.fixture
def lines() -> Iterator[Lines]:
    """All that would be logged from now on."""
    root, lines = logging.getLogger(), Lines()
    before = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(lines)
    yield lines
    root.removeHandler(lines)
    root.setLevel(before)


async def test_a_refusal_is_told_without_the_address(http_sink: HttpSink, lines: Lines) -> None:
    """Neither in the error nor in the log, whatever the service's own code logs."""
    http_sink.answer_always(Answer(500))
    url = f"json://user:s3cret@127.0.0.1:{http_sink.port}/hidden-path?token=t0ken"
    with pytest.raises(NotificationFailed) as raised:
        await KIND.open(config(url), Services(TEMPLATES)).run(WORK)
    assert str(raised.value).startswith("json did not take the message: ")
    assert "500" in str(raised.value)
    logged = [line for line in lines.text.splitlines() if not line.startswith("aiohttp.")]  # the sink itself
    for secret in ("s3cret", "hidden-path", "t0ken"):
        assert secret not in "\n".join([str(raised.value), *logged])


async def test_a_field_that_is_missing_is_an_error() -> None:
    """As in every template."""
    action = KIND.open(config("json://127.0.0.1:1/", body="{{ document.nothing }}"), Services(TEMPLATES))
    with pytest.raises(RenderError, match="nothing"):
        await action.run(WORK)


def test_every_address_is_a_delivery_of_its_own() -> None:
    """With the same message."""
    whole = config("json://a/1", "xml://b/2", title="t")
    parts = KIND.split(whole)
    assert [[url.get_secret_value() for url in part.urls] for part in parts] == [
        ["json://a/1"],
        ["xml://b/2"],
    ]
    assert {(part.title, part.body) for part in parts} == {("t", whole.body)}


def test_an_address_that_cannot_be_used_is_a_mistake() -> None:
    """Told without any of it: what is filled in from outside is not shown, and the place says which it is."""
    (unknown, incomplete, template) = mistakes(
        config("nosuch://t0ken", "json://fine.example", "slack://t0ken", "json://{{ document.host }}")
    )
    assert unknown.path == ("urls", 0)
    assert unknown.message.startswith("Apprise cannot use this address")
    assert incomplete.path == ("urls", 2)
    assert incomplete.message == unknown.message
    assert template == ConfigMistake(("urls", 3), "the address of a channel is no template")


def test_without_apprise_the_mistake_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setattr("mtrigger.actions.notify.find_spec", lambda name: None)
    (mistake,) = mistakes(config("json://fine.example"))
    assert mistake.message.endswith('pip install "mtrigger[notify]"')


def test_a_preview_shows_the_message_and_the_service() -> None:
    """Not the address."""
    preview = KIND.open(config("json://user:s3cret@host/x", title="T"), Services(TEMPLATES)).preview(WORK)
    assert preview.summary == "notify through json: T"
    assert preview.parts == {"Service": "json", "Type": "info", "Title": "T", "Body": "new: <b>A & B"}


def test_settings_do_not_show_the_addresses() -> None:
    """Whoever prints them."""
    assert "s3cret" not in repr(config("json://user:s3cret@host/x"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sending to host.example failed, error=500", "sending to *** failed, error=500"),
        ("bad token abcd/EFGH", "bad token ***/***"),
        ("bad p@ss word", "bad *** word"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_every_part_of_an_address_is_hidden(text: str, shown: str) -> None:
    """Host, tokens, options; as written and as meant."""
    assert hidden(text, "slack://user:p%40ss@host.example/abcd/efgh?x=1") == shown


async def test_what_apprise_says_of_an_address_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its services' errors name hosts and tokens."""
    monkeypatch.setattr("mtrigger.actions.notify._send", lambda url, *message: f"no route to {url}")
    with pytest.raises(NotificationFailed) as raised:
        await KIND.open(config("json://user:s3cret@hidden.example/path"), Services(TEMPLATES)).run(WORK)
    assert str(raised.value) == "json did not take the message: no route to json://***:***@***/***"


def test_the_service_is_what_an_address_begins_with() -> None:
    """And nothing of what follows."""
    assert [service_of(url) for url in ("Slack://a", "mailtos://b", "token")] == ["slack", "mailtos", "?"]
