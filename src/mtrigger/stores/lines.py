"""The name of a line, and of what a line is gathered in. Every part of a store needs them."""

from typing import NamedTuple


class LineKey(NamedTuple):
    """Names a line: all deliveries of one action of one rule."""

    rule: str
    action: str
