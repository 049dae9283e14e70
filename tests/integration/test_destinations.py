"""What opens the breaker of a real mail server or host, and what only one mail or one request has to bear."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

import aiohttp
import pytest

from mtrigger.actions.breaker import FAILURES, LONGEST_PAUSE
from mtrigger.actions.breakers import Breakers, DestinationDown
from mtrigger.actions.http import LONGEST_ASKED, HttpPool, Request
from mtrigger.actions.smtp import MailNotSent, SmtpPool, SmtpServer
from mtrigger.errors import PermanentError
from mtrigger.running.destination_report import report
from mtrigger.stores.memory import MemoryStore
from support.closing_port import ClosingPort
from support.http_sink import Answer, HttpSink
from support.mongo_servers import free_port
from support.polling import eventually
from support.smtp_sink import Command, SmtpSink

MESSAGE = b"Subject: x\r\n\r\nhello\r\n"


async def send(pool: SmtpPool, times: int = FAILURES) -> None:
    """So many mails one after the other, whatever becomes of them."""
    for _ in range(times):
        with contextlib.suppress(MailNotSent, PermanentError):
            await pool.send("alerts@shop.example", ["reader@example.com"], MESSAGE)


@asynccontextmanager
async def pool_for(url: str) -> AsyncIterator[SmtpPool]:
    breakers = Breakers()
    pool = SmtpPool(SmtpServer.parse(url), breakers)
    try:
        yield pool
    finally:
        await pool.close()
        breakers.close()


@asynccontextmanager
async def saying(*lines: bytes) -> AsyncIterator[str]:
    """A mail server that says these lines, one for each it is told, and hangs up; its address."""

    served: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(writer)
        for line in lines:
            writer.write(line + b"\r\n")
            with contextlib.suppress(ConnectionError):
                await reader.readline()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}?tls=none&timeout=5s"
    finally:
        server.close()
        for writer in served:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "cannot connect"),
        ([b"421 4.3.2 going down"], "421.*4.3.2 going down"),
        ([b"554 5.7.1 not for you"], "554"),
        ([b"220 here", b"250 here", b"421 4.3.2 going down"], "421 4.3.2 going down"),
        ([b"220 here", b"250 here", *[b"530 5.7.0 who are you"] * 30], "wants a login first"),
        ([b"220 here", b"250 here", *[b"454 4.7.0 no login now"] * 30], "454 4.7.0 no login now"),
        ([b"220 here", b"250 here", b"250 ok"], "closed the connection"),
    ],
    ids=["nothing", "greeting-421", "greeting-554", "mail-421", "mail-530", "mail-454", "hangs-up"],
)
async def test_a_mail_server_that_takes_no_mail_is_down(lines: list[bytes], why: str) -> None:
    """Whatever it says instead. After so many it is not even asked, and who asks is told why."""
    async with saying(*lines) as url, pool_for(url) as pool:
        await send(pool, FAILURES - 1)
        pool.check()
        await send(pool, 1)
        with pytest.raises(DestinationDown, match=why):
            pool.check()


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("MAIL", "451 4.3.0 later"),
        ("MAIL", "550 5.1.8 bad sender"),
        ("RCPT", "450 4.2.0 greylisted"),
        ("RCPT", "550 5.1.1 no such user"),
        ("DATA", "452 4.3.1 disk full"),
        ("DATA", "554 5.6.0 not like this"),
    ],
)
async def test_a_mail_that_is_refused_says_nothing_of_the_next(
    smtp_sink: SmtpSink, command: Command, reply: str
) -> None:
    """The server is there: it has answered."""
    smtp_sink.answer_next(reply, to=command, times=2 * FAILURES)
    async with pool_for(smtp_sink.url) as pool:
        await send(pool, 2 * FAILURES)
        pool.check()


async def test_an_account_that_is_locked_out_holds_up_no_other(
    start_smtp_sink: Callable[..., SmtpSink],
) -> None:
    """A breaker is a server's and a user's. Its name says who, and not the password."""
    sink = start_smtp_sink("starttls", users={"alerts": "right"})
    server = SmtpServer.parse(sink.url)
    breakers = Breakers()
    with_wrong_password = SmtpServer.parse(sink.url.replace("alerts:right@", "old:wrong@"))
    good, bad = SmtpPool(server, breakers), SmtpPool(with_wrong_password, breakers)
    try:
        await send(bad)
        with pytest.raises(DestinationDown, match=f"smtp://old@localhost:{sink.port} is down: ") as down:
            bad.check()
        assert "wrong" not in str(down.value)
        await send(good, 1)
        assert len(sink.mails) == 1
    finally:
        await good.close()
        breakers.close()


async def test_those_who_wait_for_a_connection_are_told_as_well() -> None:
    """They have passed the first question before the breaker opened: no connection is made for them."""
    with closing(ClosingPort()) as nobody:
        async with pool_for(f"smtp://127.0.0.1:{nobody.port}?tls=none&connections=1") as pool:
            sending = [pool.send("a@shop.example", ["b@example.com"], MESSAGE) for _ in range(50)]
            results = await asyncio.gather(*sending, return_exceptions=True)
            assert nobody.connections == FAILURES
    kinds = [isinstance(result, DestinationDown) for result in results]
    assert kinds == [False] * FAILURES + [True] * (50 - FAILURES)


async def ask(pool: HttpPool, url: str, times: int = FAILURES) -> None:
    """So many requests, whatever becomes of them."""
    for _ in range(times):
        with contextlib.suppress(aiohttp.ClientError, OSError):
            await pool.send(Request("POST", url, {}, b"{}"), 0.2)


@asynccontextmanager
async def http() -> AsyncIterator[tuple[HttpPool, Breakers]]:
    breakers = Breakers()
    pool = HttpPool(breakers)
    try:
        yield pool, breakers
    finally:
        await pool.close()
        breakers.close()


@pytest.mark.parametrize("status", [200, 301, 400, 404, 410, 429, 500, 501])
async def test_a_host_that_answers_is_there(http_sink: HttpSink, status: int) -> None:
    """One endpoint may be gone, or have trouble with one request; the others are none the worse for it."""
    http_sink.answer_always(Answer(status))
    async with http() as (pool, breakers):
        await ask(pool, http_sink.url, 2 * FAILURES)
        breakers.check(http_sink.url)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(502), "it answers 502"),
        (Answer(503), "it answers 503"),
        (Answer(504), "it answers 504"),
        (Answer(delay=30), r"no answer within 0\.2 s"),
    ],
    ids=["502", "503", "504", "silent"],
)
async def test_a_host_without_anybody_behind_it_is_down(
    http_sink: HttpSink, answer: Answer, why: str
) -> None:
    """And that is what is told, without the rest of the address. All its endpoints share one breaker."""
    http_sink.answer_always(answer)
    secret = http_sink.url.replace("//", "//user:pass-word@") + "/token?key=1234"
    async with http() as (pool, _):
        await ask(pool, secret)
        with pytest.raises(DestinationDown, match=f"{http_sink.url} is down: {why}") as down:
            await pool.send(Request("POST", http_sink.url + "/other", {}, b""), 1)
        for hidden in ("pass-word", "token", "1234"):
            assert hidden not in str(down.value)


async def test_a_host_that_asks_for_time_is_not_probed_before(http_sink: HttpSink) -> None:
    """Many deliveries open its breaker at once; its probes have to wait as each of them would. But what one
    endpoint asks for holds the others up for some minutes only."""
    http_sink.answer_always(Answer(503, {"Retry-After": "1800"}))
    async with http() as (pool, breakers):
        await ask(pool, http_sink.url)
        with pytest.raises(DestinationDown) as down:
            breakers.check(http_sink.url)
        assert LONGEST_PAUSE < down.value.retry_in <= LONGEST_ASKED


async def test_a_host_nobody_listens_at_is_down() -> None:
    """Or whose listener hangs up, or whose name is unknown."""
    with closing(ClosingPort()) as nobody:
        async with http() as (pool, breakers):
            unknown = "http://no-such-host.invalid"
            for url in (f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{nobody.port}", unknown):
                await ask(pool, url)
                with pytest.raises(DestinationDown):
                    breakers.check(url)


async def test_what_is_found_is_written_down_and_taken_back(smtp_sink: SmtpSink) -> None:
    """At every change, and in the end."""
    store, breakers, ending = MemoryStore(), Breakers(), asyncio.Event()
    smtp_sink.stop()
    pool = SmtpPool(SmtpServer.parse(smtp_sink.url), breakers)
    telling = asyncio.create_task(report(breakers, store.destinations, "me", ending))
    try:
        await send(pool)
        (said,) = await eventually(store.destinations.all)
        assert (said.by, said.destination) == ("me", f"smtp://localhost:{smtp_sink.port}")
        smtp_sink.start()

        async def up() -> bool:
            with contextlib.suppress(DestinationDown):
                await send(pool, 1)
            return await store.destinations.all() == []

        await eventually(up)
        smtp_sink.stop()
        await send(pool)
        await eventually(store.destinations.all)
        ending.set()
        await telling
        assert await store.destinations.all() == []
    finally:
        telling.cancel()
        await pool.close()
        breakers.close()
