"""Functions as users write them."""

import asyncio
import sys
import threading
from typing import Any

from mtrigger import PermanentError, RetryLater

calls: list[tuple[Any, ...]] = []
release = threading.Event()
threads: list[str] = []


def by_position(doc: Any, happened: Any) -> None:
    calls.append((doc, happened))


def by_name(event: Any, document: Any, *, delivery: Any = None, other: int = 1) -> str:
    calls.append((document["amount"], event["operation"], delivery["id"], other))
    threads.append(threading.current_thread().name)
    return "done"


async def in_the_loop(document: Any) -> str:
    await asyncio.sleep(0)
    threads.append(threading.current_thread().name)
    return "done in the loop"


def everything(**scope: Any) -> str:
    return " ".join(sorted(scope))


def nothing() -> int:
    return 5


def changes_its_document(document: Any) -> None:
    document["items"].append(1)


def permanent(document: Any) -> None:
    raise PermanentError("never")


def later(document: Any) -> None:
    raise RetryLater(after=60)


def waits(document: Any) -> None:
    release.wait(30)


async def waits_in_the_loop(document: Any) -> None:
    await asyncio.Event().wait()


def times_out_itself(document: Any) -> None:
    raise TimeoutError("my own")


def stops_iteration(document: Any) -> None:
    raise StopIteration


def exits(document: Any) -> None:
    sys.exit(3)


async def exits_in_the_loop(document: Any) -> None:
    sys.exit(3)


def reprices(document: Any) -> Any:
    return document["returned"] if "returned" in document else {"price": document["cost"] * 2}


def wrong_name(documnt: Any) -> None: ...


def three(a: Any, b: Any, c: Any) -> None: ...


def mixed(document: Any, evnt: Any) -> None: ...


class Callables:
    @staticmethod
    def method(document: Any) -> str:
        return f"method {document['amount']}"


class _Asynchronous:
    async def __call__(self, document: Any) -> str:
        return "object"


an_object = _Asynchronous()
not_callable = 5
