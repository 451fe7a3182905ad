"""Scaling curves: a metric against model size, after figure 1 of arXiv 2509.19453."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from scorer.figures.style import (
    CHANCE_COLOUR,
    COLOURS,
    MARKERS,
    NULL_COLOUR,
    Format,
    choose,
    describe,
    name_metric,
    nothing,
    save,
    span,
    tidy,
    title,
    warn_of_simulation,
)
from scorer.overviews.curves import CurveKind, CurvePoint, curve_points
from scorer.overviews.ladders import name_group
from scorer.overviews.ordering import dataset_names
from shared.outcomes import ScoreRecord

Panels = Mapping[str, list[CurvePoint]]
MOST_PANELS = 24
_PANEL_INCHES = (3.6, 3.3)
_PANELS_ABREAST = 3
_WANTING: Mapping[CurveKind, str] = {"crosskind": ", of two sizes of a family against the same model,"}
_CHANCE, _NULL = "chance", "null, up to its threshold"
_ENTRIES_ABREAST = 5


def scaling_figure(
    records: Sequence[ScoreRecord],
    *,
    metric: str = "mknn",
    k: int | None = None,
    kind: CurveKind = "crossmodal",
    file_format: Format = "png",
) -> bytes:
    """A metric against model size: the bytes of a PNG, SVG or PDF file.

    One panel per dataset and pair of modalities; one line per model family, with its intervals; chance dashed, and a
    band up to the largest threshold of each size, within which a value is one that unrelated embeddings reach too.
    An intramodal pair, of two neighbouring sizes, stands at the larger. Of crosskind pairs there is a panel for each
    model that the sizes of a family are held against. Final layers alone. A model without parameters has no place on
    the axis, and is named as left out. k: None takes the first there is. Of more than 24 panels the first are drawn,
    and the title says so. Simulated datasets are said to be so. Raises ObjectMissing when there is nothing to draw.
    """
    shown = choose((record for record in records if record.spec.pair.kind == kind), metric, k)
    points = curve_points(record for record, _ in shown)
    points = [point for point in points if (point.metric, point.k) == (metric, shown[0][1].k)]
    sizeless = ", ".join(sorted({point.model for point in points if not point.parameters}))
    points = [point for point in points if point.parameters]
    if not points:
        wanting = " of a model that has parameters" if sizeless else _WANTING.get(kind, "")
        raise nothing(f"{kind} score with {metric}{wanting}")
    drawn = {point.score for point in points}
    shown = [each for each in shown if each[0].spec.digest in drawn]
    warning = warn_of_simulation(record for record, _ in shown)
    names = dataset_names(record.spec.pair.left.dataset for record, _ in shown)
    every = _panels(points, names, say_simulated="partly" in warning)
    panels = dict(itertools.islice(every.items(), MOST_PANELS))
    part = "" if len(panels) == len(every) else f", {len(panels)} of {len(every)} panels"
    figure = _draw(panels, _styles({point.family for members in panels.values() for point in members}))
    _label(figure, points)
    title(figure, f"{name_metric(metric)} of {kind} pairs against model size{part}{warning}")
    figure.supylabel(name_metric(metric), fontsize=10)
    confidence = span({100 * point.confidence for point in points})
    bars = f", bars: {confidence} % interval over objects" if any(point.low is not None for point in points) else ""
    _explain(figure, f"{describe(shown)}{bars}{f'; without parameters, left out: {sizeless}' if sizeless else ''}")
    return save(figure, file_format)


def _panels(points: Iterable[CurvePoint], names: Mapping[str, str], *, say_simulated: bool) -> Panels:
    panels: dict[str, list[CurvePoint]] = {}
    for point in points:
        dataset = names[point.dataset_digest]
        dataset = dataset if say_simulated else dataset.removesuffix(" (simulated)")
        name = name_group(dataset, point).replace(" against ", "\nagainst ")  # too long for one line
        panels.setdefault(name, []).append(point)
    return dict(sorted(panels.items()))


def _draw(panels: Panels, styles: Mapping[str, tuple[str, str]]) -> Figure:
    columns = min(len(panels), _PANELS_ABREAST)
    rows = math.ceil(len(panels) / columns)
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(max(columns * width, 5.5), rows * height + 1.2), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    axes: list[Axes] = list(grid.flat)
    _scale(axes[0], sorted({point.parameters for members in panels.values() for point in members}))
    for ax, (name, members) in zip(axes, panels.items(), strict=False):
        ax.set_title(name, fontsize=10)
        _draw_null(ax, members)
        for family in sorted({point.family for point in members}):
            _draw_line(ax, family, [point for point in members if point.family == family], styles[family])
    for ax in axes[len(panels) :]:
        ax.remove()
    for ax in axes[max(0, len(panels) - columns) : len(panels)]:
        ax.set_xlabel("model parameters (millions)", fontsize=9)
    return figure


def _draw_line(ax: Axes, family: str, line: Sequence[CurvePoint], style: tuple[str, str]) -> None:
    colour, marker = style
    sizes, values = [point.parameters for point in line], [point.value for point in line]
    below = [max(0.0, point.value - (point.value if point.low is None else point.low)) for point in line]
    above = [max(0.0, (point.value if point.high is None else point.high) - point.value) for point in line]
    ax.errorbar(
        sizes, values, yerr=(below, above), label=family, color=colour, marker=marker,
        markersize=5.5, linewidth=1.4, elinewidth=1.0, capsize=2.5,
    )  # fmt: skip


def _draw_null(ax: Axes, members: Iterable[CurvePoint]) -> None:
    """Chance, the mean at each size, dashed; and the band at each size from the lowest chance to the largest threshold.

    Chance of a metric that counts no neighbours differs from pair to pair.
    """
    known = [point for point in members if point.chance is not None]
    chances = {size: [point.chance or 0.0 for point in known if point.parameters == size] for size in _sizes(known)}
    if chances:
        means = [sum(each) / len(each) for each in chances.values()]
        ax.plot(
            *_to_the_edges(ax, list(chances), means),
            color=CHANCE_COLOUR, linestyle="--", linewidth=1.0, label=_CHANCE, zorder=1,
        )  # fmt: skip
    for_threshold = [point for point in members if point.threshold is not None]
    sizes = _sizes(for_threshold)
    tops = [max(point.threshold or 0.0 for point in for_threshold if point.parameters == size) for size in sizes]
    bottoms = [min(chances.get(size, [top])) for size, top in zip(sizes, tops, strict=True)]
    if sizes:
        across, lower = _to_the_edges(ax, sizes, bottoms)
        _, upper = _to_the_edges(ax, sizes, tops)
        ax.fill_between(across, lower, upper, color=NULL_COLOUR, linewidth=0, zorder=0.5, label=_NULL)


def _sizes(points: Iterable[CurvePoint]) -> list[float]:
    return sorted({point.parameters for point in points})


def _to_the_edges(ax: Axes, sizes: list[float], heights: list[float]) -> tuple[list[float], list[float]]:
    """A line through these points, level from the outer ones to the edges of the axes."""
    first, last = ax.get_xlim()
    return [first, *sizes, last], [heights[0], *heights, heights[-1]]


def _scale(ax: Axes, sizes: list[float]) -> None:
    """A logarithmic axis whose ticks are sizes that were measured: the two ends, and what does not collide."""
    ax.set_xscale("log")
    aside = min(1.35, (sizes[-1] / sizes[0]) ** 0.15) if len(sizes) > 1 else 1.35
    low, high = sizes[0] / aside, sizes[-1] * aside
    ax.set_xlim(low, high)
    apart = (math.log(high) - math.log(low)) / 8
    shown = [sizes[-1]]
    for size in sizes[:-1]:
        if all(abs(math.log(size / other)) > apart for other in shown):
            shown.append(size)
    ax.xaxis.set_major_locator(FixedLocator(sorted(shown)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}" if value < 1000 else f"{value:.0f}")


def _label(figure: Figure, points: Iterable[CurvePoint]) -> None:
    lowest = min(min(point.value, point.value if point.low is None else point.low) for point in points)
    for ax in figure.axes:
        tidy(ax)
        ax.tick_params(labelbottom=True)
        if lowest >= 0:
            ax.set_ylim(bottom=0)


def _explain(figure: Figure, note: str) -> None:
    entries = _entries(figure.axes)
    lines = math.ceil(len(entries) / _ENTRIES_ABREAST)
    figure.legend(
        list(entries.values()), list(entries), title=note, loc="outside lower center",
        ncols=math.ceil(len(entries) / lines), fontsize=9, title_fontsize=8.5, frameon=False,
    )  # fmt: skip


def _styles(families: set[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each family: seven colours, and where those begin again, other markers."""
    return {family: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, family in enumerate(sorted(families))}


def _entries(axes: Iterable[Axes]) -> dict[str, Artist]:
    """One legend entry for each family, in order of name; chance and the null last."""
    found: dict[str, Artist] = {}
    for ax in axes:
        found |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    return dict(sorted(found.items(), key=lambda entry: (entry[0] in (_CHANCE, _NULL), entry[0])))
