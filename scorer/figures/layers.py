"""Layer maps: every layer of a model in one modality against every one in another."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scorer.figures.heat import Scale, add_colour_bar, draw_cells, make_scale, name_ticks
from scorer.figures.style import Format, choose, describe, name_metric, nothing, save, title, warn_of_simulation
from scorer.overviews.layers import LayerMap, layer_maps
from scorer.overviews.matrix import Statistic, statistic_of
from shared.outcomes import ScoreRecord

MOST_MAPS = 24
_PANELS_ABREAST = 4
_CELL_INCHES, _MOST_INCHES, _LEAST_INCHES = 0.34, 5.0, 1.6


def layers_figure(
    records: Sequence[ScoreRecord],
    *,
    metric: str = "mknn",
    k: int | None = None,
    statistic: Statistic = "value",
    file_format: Format = "png",
) -> bytes:
    """One panel per dataset, model and pair of modalities: the bytes of a PNG, SVG or PDF file.

    Rows: layers in the left modality, first at the top; columns: in the right one. Panels of the same two modalities
    share a scale. Of more than 24 maps the first are drawn, and the title says so. k: None takes the first there is.
    Raises ObjectMissing when no model was looked at in more than one layer.
    """
    shown = [each for each in choose(records, metric, k) if statistic_of(each[1], statistic) is not None]
    found = [record for record, _ in shown]
    maps = layer_maps(found, metric=metric, k=shown[0][1].k, statistic=statistic) if shown else []
    if not maps:
        raise nothing(f"model with {metric} of several layers")
    drawn = maps[:MOST_MAPS]
    figure = _draw(_rows(drawn), metric, statistic)
    part = "" if len(drawn) == len(maps) else f", {len(drawn)} of {len(maps)} maps"
    title(figure, f"{name_metric(metric)} layer by layer{part}{warn_of_simulation(found)}")
    figure.supxlabel(describe(shown), fontsize=8.5)
    return save(figure, file_format)


def _rows(maps: Sequence[LayerMap]) -> list[Sequence[LayerMap]]:
    """Which maps stand abreast: those of the same dataset and modalities; or any, where none shares them."""
    groups = [list(group) for _, group in itertools.groupby(maps, key=_group)]
    together = [list(maps)] if len(groups) == len(maps) else groups
    return [
        group[start : start + _PANELS_ABREAST] for group in together for start in range(0, len(group), _PANELS_ABREAST)
    ]


def _group(one: LayerMap) -> tuple[str, str, str]:
    return (one.dataset_digest, one.left_modality, one.right_modality)


def _draw(rows: Sequence[Sequence[LayerMap]], metric: str, statistic: Statistic) -> Figure:
    drawn = [one for row in rows for one in row]
    down, across = max(len(one.left_layers) for one in drawn), max(len(one.right_layers) for one in drawn)
    cell = min(_CELL_INCHES, _MOST_INCHES / max(down, across))
    width, height = max(across * cell, _LEAST_INCHES) + 1.2, max(down * cell, _LEAST_INCHES) + 1.5
    abreast = max(map(len, rows))
    bars = len({_group(one) for one in rows[0]})
    figure = Figure(figsize=(max(abreast * width + 1.3 * bars, 5.5), len(rows) * height + 0.8), layout="constrained")
    grid = figure.subplots(len(rows), abreast, squeeze=False)
    several = len({one.dataset_digest for one in drawn}) > 1
    cells = sum(len(one.left_layers) * len(one.right_layers) for one in drawn)
    for group in dict.fromkeys(map(_group, drawn)):
        members = [one for one in drawn if _group(one) == group]
        scale, used = make_scale([one.values for one in members], statistic, of=cells), list[Axes]()
        for place, row in enumerate(rows):
            for ax, one in zip(grid[place], row, strict=False):
                if _group(one) == group:
                    _draw_map(ax, one, scale, cell, several)
                    used.append(ax)
        add_colour_bar(figure, used, scale, metric)
    for place, row in enumerate(rows):
        for ax in grid[place][len(row) :]:
            ax.remove()
    return figure


def _draw_map(ax: Axes, one: LayerMap, scale: Scale, cell: float, several: bool) -> None:
    draw_cells(ax, one.values, scale, cell)
    ax.set_aspect("equal")
    name_ticks(ax, one.left_layers, one.right_layers, cell)
    ax.set_title(_heading(one, several), fontsize=9.5)
    ax.set_ylabel(one.left_modality, fontsize=9)
    ax.set_xlabel(one.right_modality, fontsize=9)


def _heading(one: LayerMap, several: bool) -> str:
    modalities = " | ".join(dict.fromkeys((one.left_modality, one.right_modality)))
    heading = f"{one.model}, {modalities}"
    return f"{one.dataset}{' (simulated)' if one.simulated else ''}\n{heading}" if several else heading
