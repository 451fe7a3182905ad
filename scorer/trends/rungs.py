"""From score records to rungs: each model scored across two modalities stands on the ladder of its family."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.contracts import DatasetRef, PairSpec
from shared.errors import ObjectMissing
from shared.outcomes import ScoreRecord
from shared.trends import Rung


def rungs_of(records: Iterable[ScoreRecord], metric: str, k: int | None = None) -> tuple[list[Rung], int | None]:
    """A rung for each crossmodal record of final layers, and the number of neighbours counted in their values.

    k: None takes each record's first. Records that lack the metric are left out, as other kinds of pair are, and other
    layers, whose scores would have each step counted many times. A group is a dataset and a pair of modalities. Raises
    ObjectMissing when none is left, naming the ks there are.
    """
    crossmodal = [record for record in records if _stands_on_a_ladder(record.spec.pair)]
    found = [(record.spec.pair, result) for record in crossmodal if (result := record.result(metric, k))]
    if not found:
        raise _nothing(crossmodal, metric)
    names = _dataset_names(pair.left.dataset for pair, _ in found)
    rungs = [
        Rung(
            group=_group(names[pair.left.dataset.digest], pair),
            family=pair.left.model.family,
            size=pair.left.model.name,
            parameters=max(pair.left.model.parameters, pair.right.model.parameters),
            value=result.value,
        )
        for pair, result in found
    ]
    return rungs, found[0][1].k


def name_group(dataset: str, left: str, right: str, *, simulated: bool) -> str:
    """What people read of a group, a dataset and two modalities: `jwst_hsc: hsc | jwst`."""
    return f"{dataset}{' (simulated)' if simulated else ''}: {left} | {right}"


def _stands_on_a_ladder(pair: PairSpec) -> bool:
    return pair.kind == "crossmodal" and pair.left.layer == pair.right.layer == "final"


def _group(dataset: str, pair: PairSpec) -> str:
    left, right = pair.left.modality.name, pair.right.modality.name
    return name_group(dataset, left, right, simulated=pair.left.dataset.simulated)


def _dataset_names(datasets: Iterable[DatasetRef]) -> dict[str, str]:
    """A name for each dataset, by digest: its own, unless another one, or another cut of it, is called the same."""
    by_digest = {dataset.digest: dataset for dataset in datasets}
    names = [dataset.name for dataset in by_digest.values()]
    return {
        digest: dataset.name if names.count(dataset.name) == 1 else f"{dataset.name}, {dataset.rows} rows {digest[:8]}"
        for digest, dataset in by_digest.items()
    }


def _nothing(crossmodal: Sequence[ScoreRecord], metric: str) -> ObjectMissing:
    ks = sorted({one.k for record in crossmodal for one in record.results if one.metric == metric and one.k})
    if ks:
        return ObjectMissing(
            f"no crossmodal score has {metric} at this k", f"k = {' or '.join(map(str, ks))}", "ask for one of these"
        )
    return ObjectMissing(
        f"there is no crossmodal score of final layers with {metric}",
        "at least two, of two sizes of one family",
        "wait for the study's first scores, or ask for pairs of this kind",
    )
