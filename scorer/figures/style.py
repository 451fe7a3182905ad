"""What all figures share: colours that colour-blind readers can tell apart, words, and the bytes of a file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shared.errors import ObjectMissing
from shared.outcomes import MetricResult, ScoreRecord

Format = Literal["png", "svg", "pdf"]
Shown = tuple[ScoreRecord, MetricResult]
"""A record, and the one of its results that a figure shows."""

# Okabe & Ito 2008; yellow, too faint for a thin line, left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
CHANCE_COLOUR, NULL_COLOUR, GRID_COLOUR, MISSING_COLOUR = "#666666", "#dcdcdc", "#e6e6e6", "#f2f2f2"
_ABBREVIATIONS = frozenset({"mknn", "cka", "cknna", "svcca", "pwcca", "rsa", "rbo", "rbf", "knn", "ksg", "mi"})
# Dates and random ids would give the same figure other bytes.
_METADATA: dict[Format, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
mpl.rcParams["svg.hashsalt"] = "samesky"


def save(figure: Figure, file_format: Format) -> bytes:
    """The figure, laid out, as a PNG, SVG or PDF file."""
    _settle(figure)
    sink = io.BytesIO()
    figure.savefig(sink, format=file_format, dpi=160, metadata=_METADATA[file_format])
    return sink.getvalue()


def _settle(figure: Figure) -> None:
    """Lay out once and for all. The solver (kiwisolver 1.5) rounds otherwise from time to time, in the last digits."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for ax in figure.axes:
        left, bottom, width, height = (round(number, 6) for number in ax.get_position().bounds)
        ax.set_position((left, bottom, width, height))


def choose(records: Iterable[ScoreRecord], metric: str, k: int | None) -> list[Shown]:
    """Each record that has this result, with it. k: None takes the first there is. Probes are left out."""
    found = [(record, record.result(metric, k)) for record in records if record.spec.pair.kind != "probe"]
    first = next((result.k for _, result in found if result is not None), k)
    return [(record, result) for record, result in found if result is not None and result.k == first]


def nothing(what: str) -> ObjectMissing:
    """The error of a figure without anything in it. what: what is wanting."""
    return ObjectMissing(
        f"there is no {what} to draw",
        "at least one score",
        "wait for the study's first scores, or ask for pairs of this kind",
    )


def name_metric(metric: str) -> str:
    """A metric's name in a title: abbreviations in capitals, and behind what qualifies them, as in `debiased CKA`."""
    words = metric.split("-")
    ordered = [*words[1:], words[0]] if words[0] in _ABBREVIATIONS else words
    return " ".join(word.upper() if word in _ABBREVIATIONS else word for word in ordered)


def warn_of_simulation(records: Iterable[ScoreRecord]) -> str:
    """What a title adds where some dataset is a simulation; else nothing."""
    simulated = {record.spec.pair.left.dataset.simulated for record in records}
    warning = {frozenset({True}): ", simulated sky", frozenset({True, False}): ", partly simulated"}
    return warning.get(frozenset(simulated), "")


def describe(shown: Sequence[Shown]) -> str:
    """k and objects of what is shown: `k = 10, 512 objects`."""
    ks = {result.k for _, result in shown if result.k is not None}
    counts = {record.objects for record, _ in shown}
    return f"{f'k = {span(ks)}, ' if ks else ''}{span(counts)} objects"


def span(values: set[int] | set[float]) -> str:
    """One number, or the smallest and the largest."""
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def tidy(ax: Axes) -> None:
    """A light grid behind, no frame at the top and at the right."""
    ax.tick_params(labelsize=8.5)
    ax.grid(visible=True, color=GRID_COLOUR, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def title(figure: Figure, text: str) -> None:
    """The title of a whole figure."""
    figure.suptitle(text, fontsize=11, fontweight="bold")
