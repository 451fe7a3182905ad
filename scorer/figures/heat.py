"""Cells coloured by a number, with the number in them where there is room: what matrix and layer map share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm, Normalize, to_rgb
from matplotlib.figure import Figure

from scorer.figures.style import MISSING_COLOUR, name_metric
from scorer.overviews.matrix import Cells, Statistic

_MOST_NUMBERS = 4000  # in all: each takes a millisecond to draw
_POINTS_PER_INCH = 72
_LETTERS = 3.4  # of a number, ".12", with the space beside it


@dataclass(frozen=True, slots=True)
class Scale:
    """Which colour stands for which number. numbered: whether the numbers themselves are written, where they fit."""

    statistic: Statistic
    norm: Normalize
    colours: Colormap
    numbered: bool

    def ink(self, number: float) -> str:
        """Black or white, whichever is read better on a number's colour (relative luminance of WCAG 2)."""
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
            for part in to_rgb(self.colours(float(self.norm(number))))
        )
        return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else "white"


def make_scale(cells: Iterable[Cells], statistic: Statistic, *, of: int) -> Scale:
    """The colours of these cells, one scale for all: cividis, dark to bright; bright is a small p-value.

    Values and calibrated scores run from 0, or from below it where one is negative, to the largest; p-values over
    decades. of: cells of the whole figure.
    """
    numbers = [number for each in cells for row in each for number in row if number is not None]
    colours, numbered = mpl.colormaps["cividis"], of <= _MOST_NUMBERS
    if statistic == "p_value":
        return Scale(statistic, LogNorm(vmin=min(0.5, *numbers), vmax=1), colours.reversed(), numbered)
    low, high = min(0.0, *numbers), max(numbers)
    return Scale(statistic, Normalize(vmin=low, vmax=high if high > low else low + 1), colours, numbered)


def draw_cells(ax: Axes, cells: Cells, scale: Scale, cell_inches: float) -> None:
    """The cells, the first row at the top; grey where there is none. cell_inches: how large each will be."""
    rows, columns = len(cells), len(cells[0])
    numbers = np.array([[np.nan if number is None else number for number in row] for row in cells])
    ax.set_facecolor(MISSING_COLOUR)
    ax.pcolormesh(np.ma.masked_invalid(numbers), cmap=scale.colours, norm=scale.norm, edgecolors="white", linewidth=0.4)
    ax.set_xlim(0, columns)
    ax.set_ylim(rows, 0)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    size = min(8.0, cell_inches * _POINTS_PER_INCH / _LETTERS / 0.6)
    if not scale.numbered or size < 4.5:
        return
    for row, column in zip(*np.nonzero(np.isfinite(numbers)), strict=True):
        number = float(numbers[row, column])
        ax.text(
            column + 0.5, row + 0.5, _write(number, scale.statistic), ha="center", va="center",
            fontsize=size, color=scale.ink(number), in_layout=False,
        )  # fmt: skip


def name_ticks(ax: Axes, rows: Sequence[str], columns: Sequence[str], cell_inches: float) -> None:
    """A name for each row and column, as large as the cells allow."""
    size = min(8.5, cell_inches * _POINTS_PER_INCH * 0.8)
    ax.set_yticks(np.arange(len(rows)) + 0.5, rows, fontsize=size)
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns, fontsize=size, rotation=90)


def add_colour_bar(figure: Figure, axes: Sequence[Axes], scale: Scale, metric: str) -> None:
    """The scale beside the axes."""
    words = {"value": name_metric(metric), "calibrated": f"calibrated {name_metric(metric)}", "p_value": "p-value"}
    bar = figure.colorbar(ScalarMappable(scale.norm, scale.colours), ax=list(axes), shrink=0.8, pad=0.02, aspect=30)
    bar.set_label(words[scale.statistic], fontsize=9)
    bar.ax.tick_params(labelsize=8.5)
    bar.outline.set_visible(False)
    if bar.solids is not None:
        bar.solids.set(rasterized=False, edgecolor="face")  # an image within an SVG may not be loaded


def _write(number: float, statistic: Statistic) -> str:
    """Two digits behind the point, without the 0 before it; a small p-value by its power of ten."""
    if statistic == "p_value" and number < 0.005:
        return f"{number:.0e}".replace("e-0", "e-")
    text = f"{number:.2f}"
    return text.replace("0.", ".", 1) if abs(number) < 1 and text not in ("1.00", "-1.00") else text
