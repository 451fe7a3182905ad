"""The heat map: every two embeddings of a study, ordered by modality, family and size."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scorer.figures.heat import Scale, add_colour_bar, draw_cells, make_scale, name_ticks
from scorer.figures.style import Format, choose, describe, name_metric, nothing, save, title, warn_of_simulation
from scorer.overviews.matrix import EmbeddingLabel, Matrix, Statistic, make_matrix, statistic_of
from scorer.overviews.ordering import is_final
from shared.errors import BadInput
from shared.outcomes import ScoreRecord

MOST_EMBEDDINGS = 200
_MOST_INCHES, _CELL_INCHES, _LEAST_INCHES = 11.0, 0.34, 2.0


def matrix_figure(
    records: Sequence[ScoreRecord],
    *,
    metric: str = "mknn",
    k: int | None = None,
    statistic: Statistic = "value",
    file_format: Format = "png",
) -> bytes:
    """A statistic of every two embeddings that were compared: the bytes of a PNG, SVG or PDF file.

    One panel per dataset, symmetric; light grey where two embeddings were not compared. Of several layers the final
    ones alone, if they were compared: `layers_figure` shows the others. k: None takes the first there is. Raises
    ObjectMissing when there is nothing to draw, BadInput for more embeddings than can be told apart.
    """
    compared = [each for each in choose(records, metric, k) if statistic_of(each[1], statistic) is not None]
    if not compared:
        raise nothing(f"{statistic} of {metric}")
    shown = [each for each in compared if is_final(each[0].spec.pair)] or compared
    found = [record for record, _ in shown]
    whole = make_matrix((record.spec for record in found), found, metric=metric, k=shown[0][1].k, statistic=statistic)
    if len(whole.embeddings) > MOST_EMBEDDINGS:
        raise BadInput(
            f"a heat map of {len(whole.embeddings)} embeddings", f"at most {MOST_EMBEDDINGS}", "ask for the matrix"
        )
    panels = [(dataset, _part(whole, dataset)) for dataset in dict.fromkeys(_dataset(one) for one in whole.embeddings)]
    largest = max(len(panel.embeddings) for _, panel in panels)
    cell = max(min(_CELL_INCHES, _MOST_INCHES / largest), _LEAST_INCHES / largest)
    sides = [cell * len(panel.embeddings) for _, panel in panels]
    figure = Figure(figsize=(max(sides) + 3.2, sum(sides) + 1.6 * len(panels) + 0.8), layout="constrained")
    axes: list[Axes] = list(figure.subplots(len(panels), 1, squeeze=False, height_ratios=sides).flat)
    scale = make_scale([whole.values], statistic, of=sum(len(panel.values) ** 2 for _, panel in panels))
    for ax, (dataset, panel) in zip(axes, panels, strict=True):
        _draw(ax, panel, _heading(*dataset) if len(panels) > 1 else "", scale, cell)
    add_colour_bar(figure, axes, scale, metric)
    title(figure, f"{name_metric(metric)} of every two embeddings{warn_of_simulation(found)}")
    layers = ", final layers" if len(shown) < len(compared) else ""
    figure.supxlabel(f"{describe(shown)}{layers}", fontsize=8.5)
    return save(figure, file_format)


def _draw(ax: Axes, panel: Matrix, heading: str, scale: Scale, cell: float) -> None:
    draw_cells(ax, panel.values, scale, cell)
    ax.set_aspect("equal")
    names = [_name(one) for one in panel.embeddings]
    name_ticks(ax, names, names, cell)
    groups = list(_groups(panel.embeddings))
    for start, stop, _ in groups:
        for edge in (start, stop):
            ax.axhline(edge, color="black", linewidth=0.8, clip_on=False)
            ax.axvline(edge, color="black", linewidth=0.8, clip_on=False)
    middles, modalities = [(start + stop) / 2 for start, stop, _ in groups], [name for _, _, name in groups]
    above, beside = ax.secondary_xaxis("top"), ax.secondary_yaxis("right")
    above.set_xticks(middles, modalities, fontsize=9)
    beside.set_yticks(middles, modalities, fontsize=9, rotation=-90, va="center")
    for other in (above, beside):
        other.tick_params(length=0)
        for spine in other.spines.values():
            spine.set_visible(False)
    if heading:
        ax.set_title(heading, fontsize=10, pad=22)


def _groups(embeddings: Sequence[EmbeddingLabel]) -> Iterator[tuple[int, int, str]]:
    """Where each modality's embeddings start and stop."""
    start = 0
    for modality, group in itertools.groupby(embeddings, key=lambda one: one.modality):
        stop = start + len(list(group))
        yield start, stop, modality
        start = stop


def _part(whole: Matrix, dataset: tuple[str, bool]) -> Matrix:
    """The rows and columns of one dataset."""
    places = [place for place, one in enumerate(whole.embeddings) if _dataset(one) == dataset]
    return whole.model_copy(
        update={
            "embeddings": [whole.embeddings[place] for place in places],
            "values": [[whole.values[row][column] for column in places] for row in places],
        }
    )


def _dataset(one: EmbeddingLabel) -> tuple[str, bool]:
    return (one.dataset, one.simulated)


def _heading(dataset: str, simulated: bool) -> str:
    return f"{dataset} (simulated)" if simulated else dataset


def _name(one: EmbeddingLabel) -> str:
    return one.model if one.layer == "final" else f"{one.model}/{one.layer}"
