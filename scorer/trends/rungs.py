"""From scores of pairs to rungs: each model that is compared stands on the ladder of its family."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from scorer.overviews.ladders import Side, find_places, name_group, with_a_step
from scorer.overviews.ordering import is_final
from shared.contracts import DatasetRef, PairKind
from shared.errors import ObjectMissing
from shared.outcomes import ScoreRecord
from shared.trends import Rung

KINDS: tuple[PairKind, ...] = ("crossmodal", "crosskind")
"""Kinds of pair that stand on ladders. They are pooled, as in arXiv 2509.19453."""


class PairValue(NamedTuple):
    """The value of a pair of final layers, from a record or from a line of a table. dataset: what people call it."""

    dataset: str
    kind: PairKind
    left: Side
    right: Side
    value: float


def rungs_of(records: Iterable[ScoreRecord], metric: str, k: int | None = None) -> tuple[list[Rung], int | None]:
    """The rungs of all crossmodal and crosskind records of final layers, and the neighbours counted in their values.

    k: None takes each record's first. Records that lack the metric are left out, as other kinds of pair are, and other
    layers, whose scores would have each step counted many times. Raises ObjectMissing when none is left, naming the ks
    there are.
    """
    wanted = [record for record in records if record.spec.pair.kind in KINDS and is_final(record.spec.pair)]
    found = [(record.spec.pair, result) for record in wanted if (result := record.result(metric, k))]
    if not found:
        raise _nothing(wanted, metric)
    names = _dataset_names(pair.left.dataset for pair, _ in found)
    values = [
        PairValue(names[pair.left.dataset.digest], pair.kind, Side.of(pair.left), Side.of(pair.right), result.value)
        for pair, result in found
    ]
    return [rung for _, rung in place_rungs(values)], found[0][1].k


def place_rungs(pairs: Sequence[PairValue]) -> list[tuple[int, Rung]]:
    """The rungs of these pairs, each with the index of its pair. A group is a dataset and what is compared in it.

    A crosskind pair has two rungs where either side may vary (`scorer.overviews.ladders`). One on a ladder of a single
    size is told only where the pair stands on no other ladder, so that what is left out is left out once.
    """
    places = find_places((pair.dataset, pair.kind, pair.left, pair.right) for pair in pairs)
    with_steps = with_a_step(places)
    climbing, elsewhere = set(with_steps), {place.pair for place in with_steps}
    return [
        (
            place.pair,
            Rung(
                group=name_group(place.ladder.dataset, place.ladder),
                family=place.ladder.family,
                size=place.model or f"{place.parameters:g}",
                parameters=place.parameters,
                value=pairs[place.pair].value,
            ),
        )
        for place in places
        if place in climbing or place.pair not in elsewhere
    ]


def name_simulated(dataset: str, *, simulated: bool) -> str:
    """What people call a dataset: that it is a simulation is said where it is one."""
    return f"{dataset}{' (simulated)' if simulated else ''}"


def _dataset_names(datasets: Iterable[DatasetRef]) -> dict[str, str]:
    """A name for each dataset, by digest: its own, unless another one, or another cut of it, is called the same."""
    by_digest = {dataset.digest: dataset for dataset in datasets}
    names = [dataset.name for dataset in by_digest.values()]
    return {
        digest: name_simulated(
            dataset.name if names.count(dataset.name) == 1 else f"{dataset.name}, {dataset.rows} rows {digest[:8]}",
            simulated=dataset.simulated,
        )
        for digest, dataset in by_digest.items()
    }


def _nothing(wanted: Sequence[ScoreRecord], metric: str) -> ObjectMissing:
    kinds = " or ".join(KINDS)
    ks = sorted({one.k for record in wanted for one in record.results if one.metric == metric and one.k})
    if ks:
        return ObjectMissing(
            f"no {kinds} score has {metric} at this k", f"k = {' or '.join(map(str, ks))}", "ask for one of these"
        )
    return ObjectMissing(
        f"there is no {kinds} score of final layers with {metric}",
        "at least two, of two sizes of one family",
        "wait for the study's first scores, or ask for pairs of these kinds",
    )
