"""What can be wrong with `nats` and `rabbitmq` is told before anything is sent, and no secret with it."""

from pathlib import Path
from typing import Any

import pytest

from mtrigger.actions import nats, rabbitmq
from mtrigger.actions.broker_addresses import parse_address
from mtrigger.actions.nats_settings import NatsConfig, subject_problem
from mtrigger.actions.rabbitmq_server import RabbitmqMessage, concerns
from mtrigger.actions.rabbitmq_settings import RabbitmqConfig
from mtrigger.actions.services import Services
from mtrigger.errors import PermanentError
from mtrigger.templates import Templates
from support.works import work_for_document

TEMPLATES = Templates(None)
SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"


def mistakes_of_nats(**settings: Any) -> list[tuple[tuple[str | int, ...], str]]:
    """The mistakes of an action `nats`."""
    config = NatsConfig.model_validate({"url": "nats://host", "subject": "a.b", **settings})
    return [(found.path, found.message) for found in nats.KIND.mistakes(config, TEMPLATES)]


def mistakes_of_rabbitmq(**settings: Any) -> list[tuple[tuple[str | int, ...], str]]:
    """The mistakes of an action `rabbitmq`."""
    config = RabbitmqConfig.model_validate({"url": "amqp://host", "routing_key": "q", **settings})
    return [(found.path, found.message) for found in rabbitmq.KIND.mistakes(config, TEMPLATES)]


@pytest.mark.parametrize(
    ("settings", "path", "message"),
    [
        ({"subject": "a..b"}, ("subject",), "none of them empty"),
        ({"subject": "a b"}, ("subject",), "spaces"),
        ({"subject": "a.*"}, ("subject",), "wildcards"),
        ({"subject": "$JS.API.STREAM.DELETE.X"}, ("subject",), "the server itself"),
        ({"subject": "{{ nothing }}"}, ("subject",), "nothing"),
        ({"stream": "a.b"}, ("stream",), "the name of a stream"),
        ({"headers": {"Nats-Msg-Id": "x"}}, ("headers", "Nats-Msg-Id"), "set by mtrigger itself"),
        ({"headers": {"a b": "x"}}, ("headers", "a b"), "cannot be the name"),
        ({"headers": {"a": "x\ny"}}, ("headers", "a"), "line breaks"),
        ({"url": "http://host"}, ("url",), "nats:// or tls://"),
        ({"url": "nats://host/x"}, ("url",), "a port only"),
        ({"url": ["nats://a", "nats://:1"]}, ("url", 1), "is written"),
        ({"url": "nats://{{ document.x }}"}, ("url",), "no template"),
        ({"url": ["nats://a", "tls://b"]}, ("url",), "either all"),
        ({"tls": {"ca": __file__}}, ("tls",), "not an encrypted one"),
        ({"url": "tls://a", "tls": {"ca": "/nowhere"}}, ("tls", "ca"), "no file /nowhere"),
        ({"url": "tls://a", "tls": {"key": __file__}}, ("tls", "key"), "a `certificate`"),
        ({"user": "a"}, ("user",), "go together"),
        ({"token": "a", "nkey": SEED}, ("nkey",), "keep one"),
        ({"nkey": "s3cret"}, ("nkey",), "not the seed"),
        ({"credentials": "/nowhere"}, ("credentials",), "no file /nowhere"),
        ({"concurrency": 201}, ("concurrency",), "200 or less"),
    ],
)
def test_mistakes_of_nats(settings: dict[str, Any], path: tuple[str | int, ...], message: str) -> None:
    """One for each, where it stands."""
    ((found, text),) = mistakes_of_nats(**settings)
    assert found == path
    assert message in text
    assert "s3cret" not in text


@pytest.mark.parametrize(
    ("settings", "path", "message"),
    [
        ({"routing_key": ""}, (), "where does it go?"),
        ({"routing_key": "x" * 256}, ("routing_key",), "255 bytes"),
        ({"exchange": "{{ document.x }}"}, ("exchange",), "no template"),
        ({"url": "amqp://host?heartbeat=1"}, ("url",), "no options"),
        ({"url": "amqp://host:x"}, ("url",), "cannot be read"),
        ({"headers": {"x" * 256: "y"}}, ("headers", "x" * 256), "255 bytes"),
        ({"password": "s3cret"}, ("password",), "go together"),
    ],
    ids=["nowhere", "long key", "exchange", "options", "port", "long header", "password alone"],
)
def test_mistakes_of_rabbitmq(settings: dict[str, Any], path: tuple[str | int, ...], message: str) -> None:
    """Likewise."""
    ((found, text),) = mistakes_of_rabbitmq(**settings)
    assert found == path
    assert message in text


def test_what_is_right_has_no_mistakes(tmp_path: Path) -> None:
    """Every way to log in, and templates."""
    credentials = tmp_path / "shop.creds"
    credentials.touch()
    for login in (
        {"nkey": SEED},
        {"credentials": credentials},
        {"token": "t"},
        {"user": "u", "password": "p"},
    ):
        assert mistakes_of_nats(**login, subject="a.{{ document.x }}", stream="S", headers={"x": "y"}) == []
    assert mistakes_of_rabbitmq(exchange="e", url=["amqps://u:p@a/v", "amqps://b"]) == []


@pytest.mark.parametrize("kind", ["nats", "rabbitmq"])
def test_without_the_package_the_mistake_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It is an extra."""
    monkeypatch.setattr(f"mtrigger.actions.{kind}_settings.find_spec", lambda name: None)
    ((_, message),) = {"nats": mistakes_of_nats, "rabbitmq": mistakes_of_rabbitmq}[kind]()
    assert message.endswith('pip install "mtrigger[bridges]"')


@pytest.mark.parametrize(
    ("subject", "fits"),
    [
        ("a", True),
        ("$KV.b.c", True),
        ("a.é", True),
        ("$SYS.x", False),
        ("a.\x00", False),
        ("x" * 1001, False),
    ],
    ids=["word", "store", "letters", "system", "control", "long"],
)
def test_subjects(subject: str, fits: bool) -> None:
    """A document decides what is in one, so all that could harm is refused."""
    assert (subject_problem(subject) is None) is fits


def test_an_address_is_read_as_it_is_meant() -> None:
    """Percent-encoding, default ports, IPv6."""
    found = parse_address("amqps://u%40x:p%2Fs@[::1]/a%2Fb", ("amqp", 5672), ("amqps", 5671))
    assert (found.user, found.password, found.place, found.path) == ("u@x", "p/s", "[::1]:5671", "a/b")
    assert "p/s" not in repr(found)


@pytest.mark.parametrize(
    ("text", "mine"),
    [
        ("NOT_FOUND - no exchange 'e' in vhost '/'", True),
        ("ACCESS_REFUSED - write access to topic 'mine' in exchange 'e' in vhost '/' refused", True),
        ("ACCESS_REFUSED - write access to topic 'other' in exchange 'e' in vhost '/' refused", False),
        ("PRECONDITION_FAILED - message size 3 is larger than configured max size 2", True),
        ("PRECONDITION_FAILED - message size 4 is larger than configured max size 2", False),
    ],
)
def test_whose_fault_a_closed_channel_is(text: str, mine: bool) -> None:
    """All messages of an exchange share one, and only the one that it was closed for is dead."""
    assert concerns(text, RabbitmqMessage("e", "mine", b"123", {}, "id", "text/plain")) is mine


async def test_headers_without_bound_are_refused() -> None:
    """They would end the connection of all."""
    settings = {"url": "amqp://host", "routing_key": "q", "headers": {"x": "{{ document.x }}"}}
    action = rabbitmq.KIND.open(RabbitmqConfig.model_validate(settings), Services(TEMPLATES))
    with pytest.raises(PermanentError, match=r"headers: 70,001 bytes"):
        await action.run(work_for_document({"_id": 1, "x": "y" * 70_000}))
