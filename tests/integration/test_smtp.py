"""Mails reach a real mail server: over verified TLS, on few connections; each refusal means what it says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from mtrigger.actions.breakers import Breakers
from mtrigger.actions.email import KIND
from mtrigger.actions.services import Services
from mtrigger.actions.smtp import MAILS_PER_CONNECTION, MailNotSent, SmtpPool, SmtpServer
from mtrigger.errors import PermanentError
from mtrigger.templates import Templates
from support.smtp_sink import SmtpSink
from support.works import DELIVERY_ID, work_for_document

MESSAGE = b"Subject: x\r\n\r\nhello\r\n.leading dot\r\n"
SENDER, READER, OTHER = "alerts@shop.example", "reader@example.com", "other@example.com"

Pools = Callable[[str], SmtpPool]


@pytest.fixture
async def pool_for() -> AsyncIterator[Pools]:
    """Makes pools that are closed after the test."""
    made: list[SmtpPool] = []

    def make(url: str) -> SmtpPool:
        made.append(SmtpPool(SmtpServer.parse(url), Breakers()))
        return made[-1]

    yield make
    for pool in made:
        await pool.close()


@pytest.fixture(params=[False, True], ids=["step_by_step", "pipelining"])
def either_sink(smtp_sink: SmtpSink, request: pytest.FixtureRequest) -> SmtpSink:
    """A mail server that is told a mail's commands one by one, and one that is told all together."""
    smtp_sink.pipelining = request.param
    return smtp_sink


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served_by(talk: Talk) -> AsyncIterator[str]:
    """A server that says `220` and `250 PIPELINING`, and then what `talk` says; its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        await reader.readline()
        writer.write(b"250-here\r\n250 PIPELINING\r\n")
        await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}?tls=none&timeout=5s"
    finally:
        server.close()


async def send(pool: SmtpPool, *recipients: str) -> str:
    return await pool.send(SENDER, recipients or (READER,), MESSAGE)


async def test_a_mail_of_a_rule_arrives_as_it_was_meant(smtp_sink: SmtpSink) -> None:
    """The whole way: settings, templates, MIME, SMTP; the hidden recipient only in the envelope."""
    services = Services(Templates(None), SmtpServer.parse(smtp_sink.url), "Grüße <alerts@shop.example>")
    config = KIND.config.model_validate(
        {
            "to": "{{ document.name }} <reader@example.com>",
            "bcc": "hidden@example.com",
            "subject": "Größe {{ document.name }}",
            "html": "<p>{{ document.name }}</p>",
        }
    )
    try:
        detail = await KIND.open(config, services).run(work_for_document({"name": "Zoë & Ann"}))
    finally:
        await services.close()
    (mail,) = smtp_sink.mails
    assert detail == "250 2.0.0 OK queued as 1"
    assert (mail.sender, mail.recipients) == (SENDER, (READER, "hidden@example.com"))
    assert mail.message["Subject"] == "Größe Zoë & Ann"
    assert mail.message["From"] == "Grüße <alerts@shop.example>"
    assert mail.message["To"] == "Zoë & Ann <reader@example.com>"
    assert mail.message["Message-ID"] == f"<{DELIVERY_ID}@shop.example>"
    assert b"hidden" not in mail.raw


@pytest.mark.parametrize("encryption", ["starttls", "implicit"])
async def test_tls_is_verified_and_the_login_used(
    start_smtp_sink: Callable[..., SmtpSink], pool_for: Pools, encryption: str
) -> None:
    """With the authority that signed the certificate; the password is sent encrypted only."""
    sink = start_smtp_sink(encryption, users={"alerts@shop.example": "p@ss/wörd#1"})
    await send(pool_for(sink.url))
    (mail,) = sink.mails
    assert mail.encrypted
    assert sink.logins == ["alerts@shop.example"]


@pytest.mark.parametrize("encryption", ["starttls", "implicit"])
async def test_a_certificate_of_an_unknown_authority_is_refused(
    start_smtp_sink: Callable[..., SmtpSink], pool_for: Pools, encryption: str
) -> None:
    """The default trusts the system's authorities only, and says what to do."""
    sink = start_smtp_sink(encryption)
    with pytest.raises(MailNotSent, match=r"its certificate is not trusted.*ca="):
        await send(pool_for(sink.url.partition("&ca=")[0]))
    assert sink.mails == []


async def test_a_certificate_for_another_host_is_refused(
    start_smtp_sink: Callable[..., SmtpSink], pool_for: Pools
) -> None:
    """A trusted authority is not enough."""
    sink = start_smtp_sink("starttls", certificate_name="other.example")
    with pytest.raises(MailNotSent, match="its certificate is not trusted: Hostname mismatch"):
        await send(pool_for(sink.url))


async def test_a_server_without_starttls_gets_no_mail_in_clear_text(
    smtp_sink: SmtpSink, pool_for: Pools
) -> None:
    """Encryption is never given up quietly."""
    with pytest.raises(MailNotSent, match="offers no STARTTLS; write tls=implicit or tls=none"):
        await send(pool_for(f"smtp://localhost:{smtp_sink.port}"))
    assert smtp_sink.mails == []


async def test_a_wrong_password_is_tried_again_later_and_never_shown(
    start_smtp_sink: Callable[..., SmtpSink], pool_for: Pools
) -> None:
    """Passwords are rotated; the mails of that hour must not be lost."""
    sink = start_smtp_sink("starttls", users={"alerts": "right"})
    pool = pool_for(sink.url.replace("right", "wr0ng-secret"))
    with pytest.raises(MailNotSent, match=r"refuses the login of alerts \(535") as caught:
        await send(pool)
    assert "wr0ng-secret" not in str(caught.value) + repr(pool.server) + str(pool.server)


async def test_a_missing_login_is_told(start_smtp_sink: Callable[..., SmtpSink], pool_for: Pools) -> None:
    """530 is a matter of settings, not of this mail."""
    sink = start_smtp_sink("starttls", users={"alerts": "right"})
    with pytest.raises(MailNotSent, match="wants a login first"):
        await send(pool_for(sink.url.replace("alerts:right@", "")))


@pytest.mark.parametrize(
    ("command", "reply", "error", "message"),
    [
        ("MAIL", "451 4.3.0 later", MailNotSent, "451 4.3.0 later"),
        ("MAIL", "553 5.1.8 bad sender", PermanentError, f"refuses the sender {SENDER}: 553"),
        ("RCPT", "450 4.2.0 greylisted", MailNotSent, rf"for now for {READER} \(450"),
        ("RCPT", "552 5.5.3 too many", MailNotSent, "for now"),
        ("RCPT", "550 5.1.1 no such user", PermanentError, rf"refuses {READER} \(550 5.1.1"),
        ("DATA", "452 4.3.1 disk full", MailNotSent, "452 4.3.1 disk full"),
        ("DATA", "554 5.7.1 spam", PermanentError, f"refuses the mail for {READER}: 554 5.7.1 spam"),
    ],
)
async def test_4xx_is_for_now_and_5xx_for_good(
    either_sink: SmtpSink, pool_for: Pools, command: str, reply: str, error: type[Exception], message: str
) -> None:
    """Wherever in the conversation it comes; the same connection serves the next mail."""
    pool = pool_for(either_sink.url)
    either_sink.answer_next(reply, to=command)  # type: ignore[arg-type]  # the parameters are its literals
    with pytest.raises(error, match=message):
        await send(pool)
    assert either_sink.mails == []
    await send(pool)
    assert [mail.recipients for mail in either_sink.mails] == [(READER,)]
    assert either_sink.connections == 1


async def test_recipients_refused_for_good_do_not_keep_the_others_waiting(
    either_sink: SmtpSink, pool_for: Pools
) -> None:
    """The answer names them; nobody is mailed twice, because it counts as delivered."""
    either_sink.refuse(OTHER, "550 5.1.1 no such user")
    detail = await send(pool_for(either_sink.url), READER, OTHER)
    assert detail == f"250 2.0.0 OK queued as 1; refused for good: {OTHER} (550 5.1.1 no such user)"
    assert [mail.recipients for mail in either_sink.mails] == [(READER,)]


async def test_nobody_gets_a_mail_that_has_to_be_tried_again(either_sink: SmtpSink, pool_for: Pools) -> None:
    """One recipient refused for now: all wait, so that the next attempt doubles nothing."""
    pool = pool_for(either_sink.url)
    either_sink.answer_next("450 4.2.0 greylisted", to="RCPT")
    with pytest.raises(MailNotSent, match="the others wait for it"):
        await send(pool, READER, OTHER)
    assert either_sink.mails == []
    await send(pool, READER, OTHER)
    assert [mail.recipients for mail in either_sink.mails] == [(READER, OTHER)]


async def test_one_connection_serves_many_mails_and_is_renewed(
    either_sink: SmtpSink, pool_for: Pools
) -> None:
    """Mail by mail on one connection, up to its bound."""
    pool = pool_for(either_sink.url)
    for _ in range(MAILS_PER_CONNECTION):
        await send(pool)
    assert either_sink.connections == 1
    await send(pool)
    assert either_sink.connections == 2
    assert either_sink.mails[0].raw == MESSAGE
    assert len(either_sink.mails) == MAILS_PER_CONNECTION + 1


async def test_no_more_connections_than_allowed(smtp_sink: SmtpSink, pool_for: Pools) -> None:
    """Thirty mails at once on three connections."""
    pool = pool_for(smtp_sink.url + "&connections=3")
    await asyncio.gather(*(send(pool) for _ in range(30)))
    assert len(smtp_sink.mails) == 30
    assert smtp_sink.connections <= 3


async def test_a_connection_that_the_server_closed_meanwhile_is_no_failure(
    smtp_sink: SmtpSink, pool_for: Pools
) -> None:
    """The next mail takes a new one, without an attempt being lost."""
    pool = pool_for(smtp_sink.url)
    await asyncio.gather(send(pool), send(pool))
    smtp_sink.drop_connections()
    await send(pool)
    assert len(smtp_sink.mails) == 3


async def test_all_rules_share_the_connections_to_their_server(smtp_sink: SmtpSink) -> None:
    """Forty mails of four actions over two connections: the limit is the server's."""
    services = Services(Templates(None), SmtpServer.parse(smtp_sink.url + "&connections=2"))
    settings = {"to": READER, "subject": "{{ document.n }}", "text": "x"}
    actions = [KIND.open(KIND.config.model_validate(settings), services) for _ in range(4)]
    try:
        await asyncio.gather(
            *(action.run(work_for_document({"n": n})) for n in range(10) for action in actions)
        )
    finally:
        await services.close()
    assert len(smtp_sink.mails) == 40
    assert smtp_sink.connections == 2


async def test_a_421_on_a_kept_connection_is_no_failure(either_sink: SmtpSink, pool_for: Pools) -> None:
    """A server that closes idle clients politely."""
    pool = pool_for(either_sink.url)
    await send(pool)
    either_sink.answer_next("421 4.4.2 idle for too long", to="MAIL")
    await send(pool)
    assert (len(either_sink.mails), either_sink.connections) == (2, 2)


async def test_a_server_that_is_down_and_comes_back(smtp_sink: SmtpSink, pool_for: Pools) -> None:
    """Down is a failure for now; back is back, with the same pool."""
    pool = pool_for(smtp_sink.url)
    await send(pool)
    smtp_sink.stop()
    with pytest.raises(MailNotSent, match="cannot connect"):
        await send(pool)
    smtp_sink.start()
    await send(pool)
    assert len(smtp_sink.mails) == 2


async def test_a_server_that_says_nothing_is_given_up(pool_for: Pools) -> None:
    """After the timeout of the address, whatever the server waits for."""
    ended = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        with pytest.raises(MailNotSent, match="Timed out"):
            await send(pool_for(f"smtp://127.0.0.1:{port}?tls=none&timeout=200ms"))
        await ended.wait()
    finally:
        server.close()


async def test_a_server_that_falls_silent_in_a_conversation_is_given_up(pool_for: Pools) -> None:
    """After the same timeout; it hears that the connection ends."""
    ended = asyncio.Event()

    async def fall_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 sender\r\n250 reader\r\n")
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        ended.set()

    async with served_by(fall_silent) as url:
        with pytest.raises(MailNotSent, match="Timed out"):
            await send(pool_for(url.replace("timeout=5s", "timeout=200ms")))
        await ended.wait()


async def test_a_connection_lost_after_the_mail_is_told_as_such(pool_for: Pools) -> None:
    """Between the last line and the answer nobody can know; the next attempt repeats the Message-ID."""

    async def take_and_vanish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            if line.startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                break
            writer.write(b"250 fine\r\n")
        writer.close()

    server = await asyncio.start_server(take_and_vanish, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        with pytest.raises(MailNotSent, match=r"broke before the answer to the mail .* same Message-ID"):
            await send(pool_for(f"smtp://127.0.0.1:{port}?tls=none"))
    finally:
        server.close()


async def test_a_cancelled_mail_leaves_no_half_conversation(either_sink: SmtpSink, pool_for: Pools) -> None:
    """Whatever was being said, the next mail begins on a clean connection."""
    pool = pool_for(either_sink.url + "&connections=1")
    await send(pool)
    for turns in range(12):
        task = asyncio.create_task(send(pool))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await send(pool)
    assert {mail.raw for mail in either_sink.mails} == {MESSAGE}


async def test_an_address_beyond_ascii_asks_for_smtputf8(either_sink: SmtpSink, pool_for: Pools) -> None:
    """The server offers it, so the address arrives as it is."""
    await send(pool_for(either_sink.url), "jürgen@example.com")
    assert either_sink.mails[0].recipients == ("jürgen@example.com",)


async def test_a_server_that_pipelines_is_told_all_at_once(pool_for: Pools) -> None:
    """It answers nothing before it has heard `DATA`: whoever waited for an answer would wait for ever."""
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"DATA\r\n"))
        writer.write(b"250 sender\r\n250 reader\r\n250 other\r\n354 go on\r\n")
        heard.append(await reader.readuntil(b"\r\n.\r\n"))
        writer.write(b"250 taken\r\n")

    async with served_by(talk) as url:
        assert await send(pool_for(url), READER, OTHER) == "250 taken"
    envelope = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{READER}>\r\nRCPT TO:<{OTHER}>\r\nDATA\r\n"
    assert heard == [envelope.encode(), b"Subject: x\r\n\r\nhello\r\n..leading dot\r\n.\r\n"]


async def test_a_text_is_kept_from_a_server_that_asks_for_it_too_soon(
    pool_for: Pools,
) -> None:
    """It would hand it to the recipients it has taken, and they would get it twice."""
    rest: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 sender\r\n250 reader\r\n450 greylisted\r\n354 go on\r\n")
        try:
            rest.set_result(await reader.read())
        except ConnectionResetError:
            rest.set_result(b"")

    async with served_by(talk) as url:
        with pytest.raises(MailNotSent, match="the others wait for it"):
            await send(pool_for(url), READER, OTHER)
        assert await rest == b""


async def test_a_farewell_that_nobody_asked_for_answers_no_mail(pool_for: Pools) -> None:
    """It comes right behind the answer to a mail, which counts; the next mail takes a new connection."""
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 sender\r\n250 reader\r\n354 go on\r\n")
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(b"250 taken on connection %d\r\n421 and good night\r\n" % connections)
        await reader.read()

    async with served_by(talk) as url:
        pool = pool_for(url)
        assert [await send(pool), await send(pool)] == [
            "250 taken on connection 1",
            "250 taken on connection 2",
        ]
