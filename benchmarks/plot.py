"""Draws curves of rates side by side into an SVG. Needs matplotlib, which the extra `bench` brings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

Curves = Mapping[str, Mapping[float, float]]
"""Events a second by value, by the side's name."""

_COLOURS = ("#0b6e4f", "#c8553d", "#5b6c8f")
"""Told apart also by readers who see red and green alike; the first is mtrigger's."""

_INK, _GRID = "#22262b", "#d9dde2"


def draw(panels: Mapping[str, Curves], file: Path) -> None:
    """One panel for each of `panels`, titled by its key, all with the same scale of events a second."""
    style = {"svg.hashsalt": "mtrigger", "font.size": 11, "text.color": _INK, "axes.edgecolor": _GRID}
    with mpl.rc_context(style):
        figure, axes = plt.subplots(1, len(panels), figsize=(11, 4.6), sharey=True, layout="constrained")
        for axis, (title, curves) in zip(axes, panels.items(), strict=True):
            _panel(axis, title, curves)
        axes[0].set_ylabel("events a second", color=_INK)
        figure.get_layout_engine().set(wspace=0.06)
        figure.savefig(file, metadata={"Date": None}, facecolor="white")
        plt.close(figure)


def _panel(axis: Any, title: str, curves: Curves) -> None:
    axis.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=12)
    for colour, (name, curve) in zip(_COLOURS, curves.items(), strict=False):
        width = 2.6 if name == "mtrigger" else 1.6
        axis.plot(curve.keys(), curve.values(), color=colour, linewidth=width, marker="o", label=name)
    axis.set_xscale("log")
    axis.set_yscale("log")
    values = sorted({value for curve in curves.values() for value in curve})
    axis.set_xticks(values, [_value(value) for value in values])
    axis.minorticks_off()
    axis.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:,.0f}"))
    axis.grid(color=_GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(colors=_INK, length=0)
    axis.legend(frameon=False, loc="lower left")


def _value(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
