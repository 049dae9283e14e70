"""Where an action of a rule ends: the box that stands for it, and what is written at the way there.

Promise: of an address only the host is told, and of a chat or a service only its name: what comes behind may
be a secret. A kind of action that is not known here gets a box with its name.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

from mtrigger.graphing.flow import Node, NodeKind
from mtrigger.graphing.places import collection, topic
from mtrigger.messages import COLLECTIONS
from mtrigger.rules import RuleAction

End = tuple[Node, str]
"""A node, and the label of the edge that leads there."""


def ends_of(action: RuleAction) -> Iterator[End]:
    """Where `action` leads; what it writes by itself, and whom it tells."""
    config: Any = action.config
    found = _ENDS.get(action.kind)
    if found is not None:
        yield found(config)
        if action.kind == "function" and config.into is not None:
            yield collection(config.into), "what it returns"
        return
    for namespace in sorted(action.writes):
        yield _written(namespace), ""
    if not action.writes:
        yield _box("action", action.kind, action.kind), ""


def _email(config: Any) -> End:
    everybody = ", ".join((*config.to, *config.cc, *config.bcc))
    return _box("email", "mail", everybody), ""


def _webhook(config: Any) -> End:
    return _box("webhook", "webhook", _host(config.url)), "" if config.method == "POST" else config.method


def _chat(caption: str) -> Callable[[Any], End]:
    def end(config: Any) -> End:
        host = _host(config.url.get_secret_value())
        return _box("chat", caption, host), ""

    return end


def _notify(config: Any) -> End:
    services = {url.get_secret_value().strip().partition("://")[0].lower() for url in config.urls}
    return _box("chat", "message", ", ".join(sorted(services))), ""


def _function(config: Any) -> End:
    return _box("function", "Python function", config.function), ""


def _command(config: Any) -> End:
    return _box("command", "program", PurePath(config.run[0]).name or config.run[0]), ""


def _log(config: Any) -> End:
    return _box("log", "log", "a line in the log"), ""


def _write(config: Any) -> End:
    return collection(config.into), "upsert" if config.upsert else config.operation


def _sink(config: Any) -> End:
    return collection(config.into), config.mode


def _publish(config: Any) -> End:
    return topic(config.topic), "publish"


def _broker(name: str, *places: str) -> Callable[[Any], End]:
    def end(config: Any) -> End:
        place = " ".join(text for key in places if (text := getattr(config, key, "")))
        return _box("broker", name, place or name), ""

    return end


_ENDS: Mapping[str, Callable[[Any], End]] = {
    "email": _email,
    "webhook": _webhook,
    "slack": _chat("Slack"),
    "teams": _chat("Teams"),
    "notify": _notify,
    "function": _function,
    "command": _command,
    "log": _log,
    "write": _write,
    "sink": _sink,
    "publish": _publish,
    "nats": _broker("NATS JetStream", "subject"),
    "rabbitmq": _broker("RabbitMQ", "exchange", "routing_key"),
}


def _written(namespace: str) -> Node:
    """What a kind of action that somebody else has made writes to."""
    _, _, name = namespace.partition(".")
    return topic(name.removeprefix(COLLECTIONS)) if name.startswith(COLLECTIONS) else collection(namespace)


def _box(kind: NodeKind, caption: str, title: str) -> Node:
    return Node(f"{kind}:{caption}:{title}", kind, caption, title)


def _host(url: str) -> str:
    """The host of an address, or what stands there in its place when the address is a template."""
    try:
        parts = urlsplit(url.strip())
        host = parts.netloc.rpartition("@")[2] if parts.scheme in ("http", "https") else ""
    except ValueError:
        host = ""
    if not host:
        return "an address from the document" if "{" in url else "an address"
    return host
