"""Figures of scores, drawn with matplotlib's objects: no window, no state shared between threads.

Imports matplotlib, and is itself imported only where a figure is drawn.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from shared.errors import ObjectMissing
from shared.outcomes import Interval, MetricResult, ScoreRecord

Format = Literal["png", "svg", "pdf"]
Kind = Literal["crossmodal", "intramodal"]

# Okabe & Ito 2008, colours that colour-blind readers can tell apart; yellow, too faint for a thin line, left out.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_PANEL_INCHES = (3.6, 3.3)
_PANELS_ABREAST = 3
# Dates and random ids would give the same figure other bytes.
_METADATA: dict[Format, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
mpl.rcParams["svg.hashsalt"] = "samesky"


def scaling_figure(
    records: Sequence[ScoreRecord], *, metric: str = "mknn", kind: Kind = "crossmodal", file_format: Format = "png"
) -> bytes:
    """A metric against model size, after figure 1 of arXiv 2509.19453: the bytes of a PNG, SVG or PDF file.

    One panel per dataset and pair of modalities; one line per model family, with its bootstrap intervals; chance
    dashed. An intramodal pair, of two sizes, stands at the larger. Simulated datasets are said to be so. Records of
    another kind are left out. Raises ObjectMissing when none is left.
    """
    chosen = [record for record in records if record.spec.pair.kind == kind and record.result(metric)]
    if not chosen:
        raise ObjectMissing(
            f"there is no {kind} score with {metric} to draw",
            "at least one score",
            "wait for the study's first scores, or ask for pairs of this kind",
        )
    panels = _group((_panel_name(record), record) for record in chosen)
    styles = _styles({_family(record) for record in chosen})
    figure = _draw(panels, styles, metric)
    _label(figure, chosen, metric, kind)
    sink = io.BytesIO()
    figure.savefig(sink, format=file_format, dpi=160, metadata=_METADATA[file_format])
    return sink.getvalue()


def _draw(panels: Mapping[str, list[ScoreRecord]], styles: Mapping[str, tuple[str, str]], metric: str) -> Figure:
    columns = min(len(panels), _PANELS_ABREAST)
    rows = math.ceil(len(panels) / columns)
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(max(columns * width, 5.5), rows * height + 1.1), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    axes: list[Axes] = list(grid.flat)
    for ax, (name, members) in zip(axes, sorted(panels.items()), strict=False):
        ax.set_title(name, fontsize=10)
        for family, line in sorted(_group((_family(record), record) for record in members).items()):
            _draw_line(ax, family, line, styles[family], metric)
        _draw_chance(ax, members, metric)
    for ax in axes[len(panels) :]:
        ax.remove()
    _scale(axes[0], sorted({_parameters(record) for members in panels.values() for record in members}))
    for ax in axes[max(0, len(panels) - columns) : len(panels)]:
        ax.set_xlabel("model parameters (millions)", fontsize=9)
    return figure


def _draw_line(ax: Axes, family: str, line: list[ScoreRecord], style: tuple[str, str], metric: str) -> None:
    colour, marker = style
    line = sorted(line, key=_parameters)
    results = [_result(record, metric) for record in line]
    values = [result.value for result in results]
    intervals = [
        result.interval or Interval(low=result.value, high=result.value, confidence=0.95) for result in results
    ]
    below = [max(0.0, value - interval.low) for value, interval in zip(values, intervals, strict=True)]
    above = [max(0.0, interval.high - value) for value, interval in zip(values, intervals, strict=True)]
    sizes = [_parameters(record) for record in line]
    ax.errorbar(
        sizes, values, yerr=(below, above), label=family, color=colour, marker=marker,
        markersize=5.5, linewidth=1.4, elinewidth=1.0, capsize=2.5,
    )  # fmt: skip


def _draw_chance(ax: Axes, members: list[ScoreRecord], metric: str) -> None:
    for chance in sorted({chance for record in members if (chance := _result(record, metric).chance) is not None}):
        ax.axhline(chance, color="#666666", linestyle="--", linewidth=1.0, label="chance", zorder=1)


def _scale(ax: Axes, sizes: list[float]) -> None:
    """A logarithmic axis whose ticks are sizes that were measured: all of them, or as many as do not collide."""
    ax.set_xscale("log")
    low, high = sizes[0] / 1.35, sizes[-1] * 1.35
    ax.set_xlim(low, high)
    apart = (math.log(high) - math.log(low)) / 8
    shown: list[float] = []
    for size in sizes:
        if not shown or math.log(size / shown[-1]) > apart:
            shown.append(size)
    ax.xaxis.set_major_locator(FixedLocator(shown))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}" if value < 1000 else f"{value:.0f}")


def _label(figure: Figure, records: Sequence[ScoreRecord], metric: str, kind: Kind) -> None:
    for ax in figure.axes:
        ax.set_ylim(bottom=0)
        ax.tick_params(labelsize=8.5, labelbottom=True)
        ax.grid(visible=True, color="#e6e6e6", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    simulated = {record.spec.pair.left.dataset.simulated for record in records}
    warning = {frozenset({True}): ", simulated sky", frozenset({True, False}): ", partly simulated"}
    title = f"{metric.upper()} of {kind} pairs against model size{warning.get(frozenset(simulated), '')}"
    figure.suptitle(title, fontsize=11, fontweight="bold")
    figure.supylabel(metric.upper(), fontsize=10)
    entries = _entries(figure.axes)
    figure.legend(
        list(entries.values()), list(entries), title=_note(records, metric), loc="outside lower center",
        ncols=min(len(entries), 5), fontsize=9, title_fontsize=8.5, frameon=False,
    )  # fmt: skip


def _note(records: Sequence[ScoreRecord], metric: str) -> str:
    ks = {k for record in records if (k := _result(record, metric).k) is not None}
    counts, confidence = (
        {record.objects for record in records},
        {100 * each.spec.scoring.confidence for each in records},
    )
    neighbours = f"k = {_span(ks)}, " if ks else ""
    return f"{neighbours}{_span(counts)} objects, bars: {_span(confidence)} % interval over objects"


def _styles(families: set[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each family: seven colours, and where those begin again, other markers."""
    return {
        family: (_COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)]) for i, family in enumerate(sorted(families))
    }


def _entries(axes: Iterable[Axes]) -> dict[str, Artist]:
    """One legend entry for each family, in order of name; chance last."""
    found: dict[str, Artist] = {}
    for ax in axes:
        found |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    return dict(sorted(found.items(), key=lambda entry: (entry[0] == "chance", entry[0])))


def _group(named: Iterable[tuple[str, ScoreRecord]]) -> dict[str, list[ScoreRecord]]:
    groups: dict[str, list[ScoreRecord]] = {}
    for name, record in named:
        groups.setdefault(name, []).append(record)
    return groups


def _panel_name(record: ScoreRecord) -> str:
    pair = record.spec.pair
    modalities = dict.fromkeys((pair.left.modality.name, pair.right.modality.name))
    return f"{pair.left.dataset.name}: {' | '.join(modalities)}"


def _result(record: ScoreRecord, metric: str) -> MetricResult:
    found = record.result(metric)
    if found is None:
        raise KeyError(metric)
    return found


def _family(record: ScoreRecord) -> str:
    return record.spec.pair.left.model.family


def _parameters(record: ScoreRecord) -> float:
    """Millions of parameters of the larger model."""
    return max(record.spec.pair.left.model.parameters, record.spec.pair.right.model.parameters)


def _span(values: set[int] | set[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
