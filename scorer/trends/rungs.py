"""From score records to rungs: each model scored across two modalities stands on the ladder of its family."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.contracts import DatasetRef, PairSpec
from shared.errors import ObjectMissing
from shared.outcomes import ScoreRecord
from shared.trends import Rung


def rungs_of(records: Iterable[ScoreRecord], metric: str, k: int | None = None) -> tuple[list[Rung], int | None]:
    """A rung for each crossmodal record, and the number of neighbours counted in their values.

    k: None takes each record's first. Records that lack the metric are left out, as other kinds of pair are. Groups
    are datasets, pairs of modalities and layers. Raises ObjectMissing when none is left, naming the ks there are.
    """
    crossmodal = [record for record in records if record.spec.pair.kind == "crossmodal"]
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


def name_group(dataset: str, modalities: Sequence[str], layers: Sequence[str], *, simulated: bool) -> str:
    """What people read of a group: `jwst_hsc: hsc | jwst`. Layers are named when one of them is not the last."""
    told = f", layers {' | '.join(layers)}" if set(layers) != {"final"} else ""
    return f"{dataset}{' (simulated)' if simulated else ''}: {' | '.join(modalities)}{told}"


def _group(dataset: str, pair: PairSpec) -> str:
    left, right = pair.left, pair.right
    modalities = (left.modality.name, right.modality.name)
    return name_group(dataset, modalities, (left.layer, right.layer), simulated=left.dataset.simulated)


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
        f"there is no crossmodal score with {metric}",
        "at least two, of two sizes of one family",
        "wait for the study's first scores, or ask for pairs of this kind",
    )
