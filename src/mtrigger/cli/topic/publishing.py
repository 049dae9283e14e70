"""`mtrigger topic publish`: a message from the command line, or lines of JSON from standard input."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from mtrigger.cli.addresses import Addresses, address_options, addresses
from mtrigger.cli.options import json_option, together

if TYPE_CHECKING:  # the driver is loaded when the command runs
    from mtrigger.messages import Message

AT_ONCE = 1_000_000
"""Bytes of lines that are published together."""


@click.command()
@click.argument("name")
@click.argument("body", required=False)
@click.option("--key", metavar="TEXT", help="The key: messages of one key keep their order.")
@click.option(
    "--header", "headers", multiple=True, metavar="NAME=TEXT", help="A header (may be given several times)."
)
@click.option("--id", "message_id", metavar="TEXT", help="The id: publishing it once more adds nothing.")
@click.option(
    "--messages",
    is_flag=True,
    default=False,
    help="Each line is a whole message, as `topic tail --json` prints it: id, key, headers, body, source.",
)
@together(address_options, json_option)
def publish(*, name: str, body: str | None, messages: bool, as_json: bool, **given: Any) -> None:
    """Publish BODY, or without it each line of standard input. A body is JSON (relaxed Extended JSON).

    \b
    mtrigger topic publish ORDERS '{"amount": 12000}' --key eu
    jq -c '.orders[]' orders.json | mtrigger topic publish ORDERS
    """
    from mtrigger.cli.connecting import run
    from mtrigger.cli.output import counted, print_json, say

    where = addresses(given["uri"], given["state_uri"], given["state_db"])
    if body is None and given["message_id"]:
        raise click.UsageError("--id is for one message: pass its BODY")
    if messages and (body is not None or given["key"] or given["headers"]):
        raise click.UsageError("--messages reads lines that say everything: no BODY, --key or --header")
    common = {"key": given["key"], "headers": _headers(given["headers"])}
    if body is not None:
        read: Iterator[list[Message]] = iter([[_message(_json(body, "BODY"), common, given["message_id"])]])
    else:
        read = _lines(common, whole=messages)
    count, new = run(_publish(where, name, read))
    if as_json:
        print_json({"published": new, "known": count - new})
    known = f"; {counted(count - new, 'message')} with known ids left alone" if count > new else ""
    say(f"{counted(new, 'message')} published{known}")


async def _publish(where: Addresses, name: str, portions: "Iterator[list[Message]]") -> tuple[int, int]:
    """Publish them; how many there were, and how many were new."""
    from mtrigger.cli.connecting import WRITE_SECONDS, state_database
    from mtrigger.errors import MtriggerError
    from mtrigger.stores.steadiness import StateOutage
    from mtrigger.topics.log import RefusedError
    from mtrigger.topics.mongo_log import MongoLog

    async with state_database(where) as state:
        log = MongoLog(state, name, StateOutage(None))
        async with asyncio.timeout(WRITE_SECONDS):
            await log.open()
        count = new = 0
        try:
            for portion in portions:
                async with asyncio.timeout(WRITE_SECONDS):
                    new += await log.publish(portion)
                count += len(portion)
        except RefusedError as error:
            raise MtriggerError(f"{error}; {new + error.published} others were published") from error
        except click.UsageError as error:
            before = f"; {new} before it were published" if new else ""
            raise click.UsageError(f"{error.message}{before}") from error
    return count, new


def _lines(common: Mapping[str, Any], *, whole: bool) -> "Iterator[list[Message]]":
    """The lines of standard input, in portions: what has come by then, so that nothing waits for more."""
    number = 0
    for lines in _arriving():
        portion = []
        for line in lines:
            number += 1
            if not line.strip():
                continue
            try:
                value = _json(line, f"line {number}")
                portion.append(_whole(value, number) if whole else _message(value, common, None))
            except click.UsageError:
                yield portion  # what came before is published
                raise
        yield portion


def _arriving() -> Iterator[list[str]]:
    rest = b""
    while chunk := _read():
        *lines, rest = (rest + chunk).split(b"\n")
        yield [_decoded(line) for line in lines]
    yield [_decoded(rest)]


def _read() -> bytes:
    """What there is on standard input, waited for. Ctrl-C ends that, although an event loop runs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return os.read(sys.stdin.fileno(), AT_ONCE)
    finally:
        signal.signal(signal.SIGINT, before)


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"standard input is not UTF-8: {error}") from error


def _message(body: Any, common: Mapping[str, Any], message_id: str | None) -> "Message":
    from bson import ObjectId

    from mtrigger.messages import Message

    return Message(ObjectId() if message_id is None else message_id, body, **common)


def _whole(value: Any, number: int) -> "Message":
    from bson import ObjectId

    from mtrigger.messages import read_message

    if not isinstance(value, Mapping) or "body" not in value:
        raise click.UsageError(f"line {number} is no message: an object with a `body` at least")
    message_id = value.get("id", value.get("_id"))
    rest = {name: part for name, part in value.items() if name not in ("id", "offset", "flaw")}
    return read_message({**rest, "_id": ObjectId() if message_id is None else message_id})


def _headers(texts: Sequence[str]) -> dict[str, str]:
    parts = [text.partition("=") for text in texts]
    for name, sign, _ in parts:
        if not sign or not name:
            raise click.UsageError(f"--header is NAME=TEXT, unlike {name!r}")
    return {name: value for name, _, value in parts}


def _json(text: str, what: str) -> Any:
    from mtrigger.cli.topic.extended_json import read_json

    return read_json(text, what)
