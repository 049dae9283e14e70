"""mtrigger: declarative triggers on MongoDB change streams, without Kafka.

What a user's own function needs is importable from here:

    from mtrigger import PermanentError, RetryLater

and so is what a program needs that publishes messages or consumes them (see `topic_client`):

    import mtrigger

    orders = mtrigger.topic("ORDERS", uri="mongodb://…")

That is imported when it is asked for, so that `import mtrigger` loads no driver.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mtrigger.errors import AckLostError, GroupError, PermanentError, PositionError, RetryLater

if TYPE_CHECKING:  # for type checkers and editors; `__getattr__` does the same when the program runs
    from mtrigger.topic_client import Consumer, Message, Received, Topic, topic

__version__ = "0.1.0"

__all__ = [
    "AckLostError",
    "Consumer",
    "GroupError",
    "Message",
    "PermanentError",
    "PositionError",
    "Received",
    "RetryLater",
    "Topic",
    "__version__",
    "topic",
]

_OF_TOPICS = frozenset({"Consumer", "Message", "Received", "Topic", "topic"})


def __getattr__(name: str) -> Any:
    if name in _OF_TOPICS:
        return getattr(import_module("mtrigger.topic_client"), name)
    raise AttributeError(f"module 'mtrigger' has no attribute {name!r}")
