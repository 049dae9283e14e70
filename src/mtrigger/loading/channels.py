"""Named channels: `channels:` of `_defaults.yaml`, which `do:` may name instead of a kind of action.

    channels:
      sales: {slack: {url: "${SALES_SLACK_URL}"}}        # do: [{sales: {text: …}}]

A channel is an action with some of its settings; what a rule says itself stands over them.
"""

import re
from collections.abc import Callable, Iterator

from mtrigger import actions
from mtrigger.config_types import closest
from mtrigger.loading.nodes import Entry, Mapping, Node, Report, Scalar, merge
from mtrigger.loading.validation import shown

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
"""A channel's name, in full."""

CheckSettings = Callable[[str, Mapping, tuple[str, ...]], None]
"""Checks some of the settings of a kind of action, which stand at a path of the file."""


def check_channels(channels: Node, report: Report, check_settings: CheckSettings) -> None:
    """Report what is wrong with `channels:` of a `_defaults.yaml`."""
    if not isinstance(channels, Mapping):
        return  # the model has reported that
    for name, entry in channels.entries.items():
        if name in actions.KINDS:
            report.add(entry.place, f"`{name}` is a kind of action: give the channel a name of its own")
        elif not NAME.fullmatch(name):
            report.add(entry.place, "a channel's name is a letter, then letters, digits, `-` or `_`")
        kind = kind_of(entry.node)
        if kind is None:
            example = f"`{name}: {{email: {{to: sales@example.com}}}}`"
            report.add(entry.place, f"a channel is one kind of action with settings ({example})")
        elif kind[0] not in actions.KINDS:
            report.add(kind[1].place, unknown_name(kind[0], ()))
        elif isinstance(kind[1].node, Mapping):
            check_settings(kind[0], kind[1].node, ("channels", name, kind[0]))
        else:
            report.add(
                kind[1].place, f"`{kind[0]}` takes settings (`key: value` lines), not {shown(kind[1].node)}"
            )


def kind_of(channel: Node | None) -> tuple[str, Entry] | None:
    """The kind of action that a channel is, with its settings; None if it names none or several."""
    if not isinstance(channel, Mapping) or len(channel.entries) != 1:
        return None
    return next(iter(channel.entries.items()))


def merge_channels(under: Mapping, over: Mapping) -> Mapping:
    """The channels of a folder on top of those above it: settings are merged where the kind is the same."""
    entries = dict(under.entries)
    for name, entry in over.entries.items():
        below = kind_of(under.get(name))
        above = kind_of(entry.node)
        alike = below is not None and above is not None and below[0] == above[0]
        entries[name] = Entry(entry.place, merge(under.entries[name].node, entry.node)) if alike else entry
    return Mapping(over.place, entries)


def without_settings(channels: Mapping) -> Mapping:
    """The same names, with nothing behind them: what stands there is wrong, and is reported already."""
    return Mapping(
        channels.place,
        {
            name: Entry(entry.place, Scalar(entry.place, None, "", "", entry.place.index))
            for name, entry in channels.entries.items()
        },
    )


def over_channel(channel: Entry, own: Entry, shorthand: str) -> Entry:
    """The settings of a channel with those of the rule over them. Nothing at all is fine; a bare value is the
    `shorthand` setting of the kind, if it has one."""
    node = own.node
    if isinstance(node, Scalar) and node.value is None:
        return Entry(own.place, channel.node)
    if not isinstance(node, Mapping) and shorthand:
        node = Mapping(node.place, {shorthand: Entry(node.place, node)})
    return Entry(own.place, merge(channel.node, node))


def names(channels: Mapping | None) -> Iterator[str]:
    """The names of all channels."""
    yield from channels.entries if channels is not None else ()


def unknown_name(name: str, channels: tuple[str, ...]) -> str:
    """What to say about an action that is neither a kind nor a channel."""
    known = (*actions.KINDS, *channels)
    near = closest(name, known)
    hint = f"did you mean `{near}`?" if near else f"it is one of: {', '.join(known)}"
    return f"there is no action `{name}`; {hint}"
