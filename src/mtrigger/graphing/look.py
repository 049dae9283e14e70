"""How boxes look: the colour and the sign of each kind, the fonts, and the colours by day and by night.

The signs are drawn for this purpose, with lines of one width on a square of 16 by 16.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mtrigger.graphing.flow import NodeKind


@dataclass(frozen=True, slots=True)
class Look:
    """The colour of a kind, with white readable on it, and the path of its sign."""

    colour: str
    sign: str


_CYLINDER = "M3 4.2C3 2.9 5.2 2 8 2s5 .9 5 2.2S10.8 6.4 8 6.4 3 5.5 3 4.2v7.6C3 13.1 5.2 14 8 14s5-.9 5-2.2V4.2M3 8c0 1.3 2.2 2.2 5 2.2s5-.9 5-2.2"  # noqa: E501 - a path

LOOKS: Mapping[NodeKind, Look] = {
    "table": Look("#57606a", "M2.5 3h11v10h-11zM2.5 6.5h11M2.5 9.8h11M6.5 6.5v6.5"),
    "source": Look("#0e7490", "M2 8h8.5M7 4.5 10.5 8 7 11.5M13.5 3v10"),
    "topic": Look("#7c3aed", "M2 3.5h12M2 8h12M2 12.5h12M5 2v3M9 6.5v3M12 11v3"),
    "collection": Look("#15803d", _CYLINDER),
    "schedule": Look("#0369a1", "M8 2a6 6 0 1 0 .01 0zM8 4.8V8l2.3 1.6"),
    "dead letters": Look("#b91c1c", "M2 4h12v8.5H2zM5.8 6.2l4.4 4.2M10.2 6.2 5.8 10.4"),
    "rule": Look("#1d4ed8", "M9 1.5 3.5 9H8l-1 5.5L12.5 7H8z"),
    "email": Look("#be185d", "M2 3.8h12v8.5H2zM2 4.3l6 4.7 6-4.7"),
    "webhook": Look("#c2410c", "M8 2a6 6 0 1 0 .01 0zM2 8h12M8 2c-4 4-4 8 0 12M8 2c4 4 4 8 0 12"),
    "chat": Look("#c2410c", "M2.5 3h11v7.5H8L5 13.5v-3H2.5zM5.5 6.7h.01M8 6.7h.01M10.5 6.7h.01"),
    "broker": Look("#c2410c", "M2 8h4M10 4h4M10 12h4M6 8l4-4M6 8l4 4"),
    "function": Look("#a16207", "M10.5 2.5C8 2 8 4 7.8 6L7.2 11c-.2 2-1 3-3 2.5M5 7h6"),
    "command": Look("#57606a", "M2 3h12v10H2zM4.5 6l2 2-2 2M8.5 10.2h3"),
    "log": Look("#57606a", "M3 3.5h10M3 6.5h10M3 9.5h10M3 12.5h6"),
    "action": Look("#57606a", "M5 3v10l8-5z"),
}

STYLE = """\
text { font-family: -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.page { fill: #fff; stroke: #d0d7de }
.box { fill: #f6f8fa; stroke: #d0d7de }
.rule { fill: #eff6ff; stroke: #93b4f5 }
.title { font-size: 13px; font-weight: 600 }
.caption { font-size: 10px; fill: #656d76 }
.code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace;
  font-size: 11px; fill: #3b4350 }
.pill { fill: #dbe4f0 }
.mark { font-size: 10px; fill: #3b4350; text-anchor: middle }
.sign { fill: none; stroke: #fff; stroke-width: 1.4; stroke-linecap: round; stroke-linejoin: round }
.edge { fill: none; stroke: #8c959f; stroke-width: 1.5 }
.head { fill: #8c959f }
.part { stroke-dasharray: 1.5 4; stroke-linecap: round }
.dead { stroke: #cf222e; stroke-dasharray: 5 4 }
.head.dead { fill: #cf222e; stroke: none }
.behind { fill: #fff }
.label { font-size: 10.5px; fill: #57606a; text-anchor: middle }
.off { opacity: .5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .page { fill: #0d1117; stroke: #30363d }
  .box { fill: #161b22; stroke: #30363d }
  .rule { fill: #121d2f; stroke: #2f5aa8 }
  .caption, .label { fill: #9198a1 }
  .code, .mark { fill: #b6c2cf }
  .pill { fill: #253349 }
  .edge { stroke: #6e7681 }
  .head { fill: #6e7681 }
  .dead { stroke: #f85149 }
  .head.dead { fill: #f85149 }
  .behind { fill: #0d1117 }
}"""
