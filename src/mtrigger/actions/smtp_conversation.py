"""Talking SMTP over a connection that is made, greeted and logged in (RFC 5321): commands, answers, texts.

Where the server offers PIPELINING (RFC 2920), all commands of a mail go out together, and a mail takes two
round trips instead of four or more. Promise: an answer belongs to what it answers. Whatever else a server
says, such as a farewell while nobody asks, ends the conversation.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from mtrigger.actions.smtp_replies import in_one_line

SERVICE_NOT_AVAILABLE = 421
"""The answer with which a server ends the conversation, whatever it was asked (RFC 5321, 3.8)."""

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_ANSWER_LINE = re.compile(rb"[2-5]\d\d(?:[ -][^\n]*)?\r?")
_LONE_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_LONGEST_ANSWER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server says to one command: its code, and its words, which may be several lines."""

    code: int
    words: str

    def __str__(self) -> str:
        return f"{self.code} {in_one_line(self.words)}"


def answers_in(received: bytes) -> tuple[list[Answer], bytes]:
    """The whole answers at the beginning of `received`, and what is left of it. Raises ValueError for a line
    that is no answer."""
    answers: list[Answer] = []
    words: list[bytes] = []
    place = taken = 0
    for line in received.split(b"\n")[:-1]:
        if not _ANSWER_LINE.fullmatch(line):
            raise ValueError(f"not an answer: {in_one_line(line.decode('utf-8', 'replace'))}")
        place += len(line) + 1
        words.append(line[4:].strip())
        if line[3:4] != b"-":
            answers.append(Answer(int(line[:3]), b"\n".join(words).decode("utf-8", "replace")))
            words, taken = [], place
    return answers, received[taken:]


def text_on_the_wire(message: bytes) -> bytes:
    """`message` as DATA takes it: CRLF line ends, no line that looks like its end, and then its end."""
    ends = message.count(b"\r\n")
    if message.count(b"\n") != ends or message.count(b"\r") != ends:
        message = _LONE_LINE_END.sub(b"\r\n", message)
    last = b"" if message.endswith(b"\r\n") else b"\r\n"
    stuffed = b"." + message if message.startswith(b".") else message
    return stuffed.replace(b"\r\n.", b"\r\n..") + last + b".\r\n"


class Conversation(asyncio.Protocol):
    """The client's side of it, from now on; `transport` has been another protocol's so far.

    One exchange at a time. All of them raise OSError when the connection is lost, the server says what is no
    SMTP, or an answer takes longer than `seconds` (TimeoutError); then, and when an exchange is cancelled,
    the conversation is over.
    """

    def __init__(self, transport: asyncio.BaseTransport, *, pipelining: bool) -> None:
        self.pipelining = pipelining
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_protocol(self)
        self._received = b""
        self._answers: list[Answer] = []
        self._expected = 0
        self._complete: asyncio.Future[None] | None = None

    @property
    def over(self) -> bool:
        """Whether nothing can be said any more."""
        return self._transport.is_closing()

    def end(self) -> None:
        """Close the connection at once. A mail whose end was not sent is nobody's (RFC 5321, 4.1.1.10)."""
        self._transport.abort()

    async def exchange(self, commands: Sequence[bytes], seconds: float) -> list[Answer]:
        """Say `commands`; the answer to each of them, or fewer, of which the last is a 421."""
        if any(_CONTROL.search(command) for command in commands):
            raise ValueError("a command cannot hold line breaks or control characters")
        lines = [command + b"\r\n" for command in commands]
        if self.pipelining:
            return await self._say(b"".join(lines), len(lines), seconds)
        answers: list[Answer] = []
        for line in lines:
            answers += await self._say(line, 1, seconds)
            if answers[-1].code == SERVICE_NOT_AVAILABLE:
                break
        return answers

    async def text(self, message: bytes, seconds: float) -> Answer:
        """Say the text of a mail, which the server has asked for."""
        return (await self._say(text_on_the_wire(message), 1, seconds))[0]

    async def _say(self, words: bytes, expected: int, seconds: float) -> list[Answer]:
        if self.over:
            raise ConnectionResetError("the server has closed the connection")
        self._answers, self._expected = [], expected
        loop = asyncio.get_running_loop()
        self._complete = loop.create_future()
        timer = loop.call_later(seconds, self._give_up)
        self._transport.write(words)
        try:
            await self._complete
        except BaseException:
            self.end()
            raise
        finally:
            timer.cancel()
            self._complete = None
        if self._answers[-1].code == SERVICE_NOT_AVAILABLE:
            self.end()
        return self._answers

    def data_received(self, data: bytes) -> None:
        """Gather what the server says until all that is awaited is there."""
        waiting = self._complete
        if waiting is None or waiting.done():
            self.end()  # nobody asked
            return
        try:
            answers, self._received = answers_in(self._received + data)
        except ValueError as error:
            self._fail(ConnectionAbortedError(str(error)))
            return
        self._answers += answers
        last = self._answers[-1].code if self._answers else 0
        if len(self._answers) >= self._expected or last == SERVICE_NOT_AVAILABLE:
            if len(self._answers) > self._expected or self._received:
                self.end()
                del self._answers[self._expected :]
            waiting.set_result(None)
        elif len(self._received) > _LONGEST_ANSWER:
            self._fail(ConnectionAbortedError("an answer without end"))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits."""
        self._fail(error or ConnectionResetError("the server closed the connection"))

    def _give_up(self) -> None:
        self._fail(TimeoutError("Timed out waiting for an answer"))

    def _fail(self, error: Exception) -> None:
        if self._complete is not None and not self._complete.done():
            self._complete.set_exception(error)
