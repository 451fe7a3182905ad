"""The calibration plot: each observed value beside what unrelated embeddings reach (arXiv 2602.14486)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scorer.figures.style import (
    COLOURS,
    NULL_COLOUR,
    Format,
    Shown,
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
from scorer.overviews.ordering import dataset_names
from shared.outcomes import ScoreRecord

MOST_NAMED = 60
_ROW_INCHES, _UNNAMED_INCHES = 0.19, 4.5
_OBSERVED, _THRESHOLD = COLOURS[0], COLOURS[1]
Floats = npt.NDArray[np.float64]
_KINDS = ("crossmodal", "crosskind", "intramodal", "other")  # `choose` leaves probes out
_BELOW = "#888888"


def calibration_figure(
    records: Sequence[ScoreRecord], *, metric: str = "mknn", k: int | None = None, file_format: Format = "png"
) -> bytes:
    """Observed values with their intervals, sorted, each on its own null: the bytes of a PNG, SVG or PDF file.

    One panel per dataset and kind of pair. Grey: the null's mean and two standard deviations to either side; a tick:
    the threshold; at the right the calibrated score. Of more than 60 pairs in a panel none is named. Pairs whose metric
    has no threshold are left out. k: None takes the first there is. Raises ObjectMissing when there is nothing to draw.
    """
    shown = [each for each in choose(records, metric, k) if each[1].threshold is not None]
    if not shown:
        raise nothing(f"{metric} with a threshold")
    panels = _panels(shown)
    heights = [_height(len(members)) for members in panels.values()]
    figure = Figure(figsize=(8.2, sum(heights) + 0.55 * len(panels) + 1.3), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=heights)
    axes: list[Axes] = list(grid.flat)
    for ax, (name, members) in zip(axes, panels.items(), strict=True):
        ax.set_title(name, fontsize=10, loc="left")
        ordered = sorted(members, key=lambda each: (-each[1].value, each[0].spec.digest))
        draw = _draw_named if len(ordered) <= MOST_NAMED else _draw_many
        draw(ax, ordered)
        tidy(ax)
        ax.set_ylim(len(ordered) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.grid(visible=False, axis="y")
    if min(float(np.min(_numbers(members)[3] - _numbers(members)[4])) for members in panels.values()) >= 0:
        axes[0].set_xlim(left=0)
    axes[-1].set_xlabel(name_metric(metric), fontsize=10)
    found = [record for record, _ in shown]
    title(figure, f"{name_metric(metric)} against what unrelated embeddings reach{warn_of_simulation(found)}")
    _explain(figure, shown)
    return save(figure, file_format)


def _panels(shown: Sequence[Shown]) -> Mapping[str, list[Shown]]:
    """By dataset, then kind of pair."""
    names = dataset_names(record.spec.pair.left.dataset for record, _ in shown)
    panels: dict[tuple[str, int], list[Shown]] = {}
    for each in shown:
        pair = each[0].spec.pair
        panels.setdefault((names[pair.left.dataset.digest], _KINDS.index(pair.kind)), []).append(each)
    return {f"{name}, {_KINDS[kind]} pairs": members for (name, kind), members in sorted(panels.items())}


def _height(pairs: int) -> float:
    return max(0.8, _ROW_INCHES * pairs) if pairs <= MOST_NAMED else _UNNAMED_INCHES


def _draw_named(ax: Axes, ordered: Sequence[Shown]) -> None:
    rows = np.arange(len(ordered))
    means, spreads, thresholds, values, below, above = _numbers(ordered)
    passed = values > thresholds
    ax.barh(rows, 4 * spreads, left=means - 2 * spreads, height=0.72, color=NULL_COLOUR, linewidth=0)
    ax.plot(means, rows, linestyle="", marker="|", markersize=5, color=_BELOW)
    ax.plot(thresholds, rows, linestyle="", marker="|", markersize=9, markeredgewidth=1.6, color=_THRESHOLD)
    for these, face in ((passed, _OBSERVED), (~passed, "white")):
        ax.errorbar(
            values[these], rows[these], xerr=(below[these], above[these]), linestyle="", marker="o", markersize=4.5,
            color=_OBSERVED, markerfacecolor=face, elinewidth=1.0, capsize=2,
        )  # fmt: skip
    ax.set_yticks(rows, [_name(record) for record, _ in ordered], fontsize=8)
    right = ax.secondary_yaxis("right")
    right.set_yticks(rows, [_calibrated(result.calibrated) for _, result in ordered], fontsize=8)
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    ax.set_title("calibrated", fontsize=8.5, loc="right")


def _draw_many(ax: Axes, ordered: Sequence[Shown]) -> None:
    rows = np.arange(len(ordered))
    means, spreads, thresholds, values, below, above = _numbers(ordered)
    ax.fill_betweenx(rows, means - 2 * spreads, means + 2 * spreads, color=NULL_COLOUR, linewidth=0)
    ax.fill_betweenx(rows, values - below, values + above, color=_OBSERVED, alpha=0.3, linewidth=0)
    ax.plot(thresholds, rows, color=_THRESHOLD, linewidth=1.0)
    ax.plot(values, rows, color=_OBSERVED, linewidth=1.4)
    ax.set_yticks([])
    ax.set_ylabel(f"{len(ordered)} pairs", fontsize=9)
    ax.set_title(f"{int((values > thresholds).sum())} above their threshold", fontsize=8.5, loc="right")


def _numbers(ordered: Sequence[Shown]) -> tuple[Floats, ...]:
    """Null means and standard deviations, thresholds, values, and how far their intervals reach to either side."""
    table = np.array([_row(each) for each in ordered], dtype=np.float64)
    return tuple(table.T)


def _row(each: Shown) -> tuple[float, ...]:
    result = each[1]
    mean = result.null_mean if result.null_mean is not None else result.chance
    low, high = (result.interval.low, result.interval.high) if result.interval else (result.value, result.value)
    threshold = result.value if result.threshold is None else result.threshold
    return (
        threshold if mean is None else mean,
        result.null_std or 0.0,
        threshold,
        result.value,
        max(0.0, result.value - low),
        max(0.0, high - result.value),
    )


def _name(record: ScoreRecord) -> str:
    left, right = record.spec.pair.left, record.spec.pair.right
    modalities = " | ".join(dict.fromkeys((left.modality.name, right.modality.name)))
    names = [one.model.name if one.layer == "final" else f"{one.model.name}/{one.layer}" for one in (left, right)]
    return f"{modalities}   {' | '.join(dict.fromkeys(names))}"


def _calibrated(score: float | None) -> str:
    return "" if score is None else f"{score:.3f}"


def _explain(figure: Figure, shown: Sequence[Shown]) -> None:
    confidence = span({100 * record.spec.scoring.confidence for record, _ in shown})
    entries = {
        "null, mean ± 2 standard deviations": Patch(color=NULL_COLOUR),
        f"threshold, {confidence} % of the null is below": Line2D(
            [], [], linestyle="", marker="|", markersize=9, markeredgewidth=1.6, color=_THRESHOLD
        ),
        "observed, with interval (open: not above)": Line2D([], [], marker="o", markersize=4.5, color=_OBSERVED),
    }
    figure.legend(
        list(entries.values()), list(entries), title=describe(shown), loc="outside lower center", ncols=3, fontsize=8.5,
        title_fontsize=8.5, frameon=False,
    )  # fmt: skip
