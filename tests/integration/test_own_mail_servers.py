"""Mails by a server that a rule names itself."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from mtrigger.actions.base import Action
from mtrigger.actions.email import KIND
from mtrigger.actions.services import Services
from mtrigger.actions.smtp import MailNotSent
from mtrigger.templates import Templates
from support.smtp_sink import SmtpSink
from support.works import work_for_document


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    """What actions share, without a mail server for all rules."""
    services = Services(Templates(None))
    yield services
    await services.close()


def mail(services: Services, url: str) -> Action:
    """A mail by the server at `url`."""
    settings = {"to": "reader@example.com", "subject": "{{ document.n }}", "text": "x", "smtp": url}
    return KIND.open(KIND.config.model_validate(settings), services)


async def test_rules_with_the_same_server_share_its_connections(
    smtp_sink: SmtpSink, services: Services
) -> None:
    """Twenty mails of two rules over the two connections that the address allows."""
    actions = [mail(services, f"{smtp_sink.url}&connections=2") for _ in range(2)]
    await asyncio.gather(*(action.run(work_for_document({"n": n})) for n in range(10) for action in actions))
    assert len(smtp_sink.mails) == 20
    assert smtp_sink.connections == 2


async def test_a_refused_login_names_the_key_in_the_rule(
    start_smtp_sink: Callable[..., SmtpSink], services: Services
) -> None:
    """Not the variable of the server for all rules; the password is told nowhere."""
    sink = start_smtp_sink("starttls", users={"alerts": "right"})
    with pytest.raises(MailNotSent) as raised:
        await mail(services, sink.url.replace("right", "hunter2")).run(work_for_document({"n": 1}))
    assert "check the user and the password in `smtp`" in str(raised.value)
    assert "MTRIGGER_SMTP_URL" not in str(raised.value)
    assert "hunter2" not in str(raised.value)
    assert sink.mails == []


async def test_a_certificate_that_is_not_trusted_names_the_key_in_the_rule(
    start_smtp_sink: Callable[..., SmtpSink], services: Services
) -> None:
    """The option that mends it has to stand where the address stands."""
    url = start_smtp_sink("starttls").url.partition("&ca=")[0]
    with pytest.raises(MailNotSent, match=r"ca=/path/ca\.pem in `smtp`"):
        await mail(services, url).run(work_for_document({"n": 1}))
