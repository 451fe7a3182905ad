"""The link: do models whose modalities agree more also know more of the physics? Across models, alignment and probes.

Imports numpy and `shared`. Within one dataset, pair of modalities and label, each model is a point: how far its two
embeddings agree, and how well the label is told from them. The two are held against each other by rank.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from scorer.ranks import kendall, mid_ranks, spearman
from shared.contract import Contract
from shared.contracts import EmbeddingSpec
from shared.errors import BadInput
from shared.outcomes import MetricResult, ScoreRecord

Floats = npt.NDArray[np.float64]

FEWEST_MODELS = 5
"""Of four models no order has a p-value below 1/24; of three, none below 1/6."""
MOST_COUNTED = 8
"""Up to 8 models, 40,320 orders, all are counted; of more, some are drawn."""

_ROUNDING = 1e-9


class ModelPoint(Contract):
    """One model: alignment of its embeddings of two modalities, and what a probe tells of a label from either.

    label, modalities, dataset: what it may be compared within; dataset_digest: tells apart cuts of one name.
    layers: where the two embeddings were taken.
    """

    dataset: str
    dataset_digest: str = ""
    label: str
    modalities: tuple[str, str]
    model: str
    family: str
    layers: tuple[str, str] = ("final", "final")
    alignment: float
    left_probe: float
    right_probe: float

    @property
    def probed(self) -> float:
        """The mean of what is told from either modality."""
        return (self.left_probe + self.right_probe) / 2


class Link(Contract):
    """Whether alignment rises with what a probe tells, over the models of one dataset, label and pair of modalities.

    spearman, kendall: rank correlations (tau-b), -1 to 1; None where there are fewer than three models, or one side is
    constant. spearman_p, kendall_p: one-sided, that as high a correlation comes from models whose alignment and
    probes have nothing to do with each other; None for fewer than five models. permutations: orders drawn; 0 where all
    were counted, or none. families: of the models; sizes of one family resemble each other, and where families are
    few the p-value is smaller than what is known. note: what to bear in mind, in words; may be empty.
    """

    dataset: str
    dataset_digest: str = ""
    label: str
    modalities: tuple[str, str]
    layers: tuple[str, str]
    models: int
    families: int
    spearman: float | None = None
    kendall: float | None = None
    spearman_p: float | None = None
    kendall_p: float | None = None
    permutations: int = 0
    note: str = ""


def measure_links(points: Iterable[ModelPoint], *, permutations: int = 9999, seed: int = 0) -> tuple[Link, ...]:
    """A link for every dataset, pair of modalities, layers and label, in order of their names.

    permutations: orders drawn where there are more than eight models. Raises BadInput when a model stands twice.
    """
    groups: dict[tuple[str | tuple[str, str], ...], list[ModelPoint]] = {}
    for point in points:
        where = (point.dataset, point.dataset_digest, point.modalities, point.layers, point.label)
        groups.setdefault(where, []).append(point)
    return tuple(_link(members, permutations, seed) for _, members in sorted(groups.items()))


def _link(points: Sequence[ModelPoint], permutations: int, seed: int) -> Link:
    first, models = points[0], [point.model for point in points]
    if len(set(models)) < len(models):
        raise BadInput(
            f"of {first.label} in {first.dataset}, {max(models, key=models.count)} is given more than once",
            "each model once for each dataset, label and pair of modalities",
        )
    families = len({point.family for point in points})
    link = Link(
        dataset=first.dataset,
        dataset_digest=first.dataset_digest,
        label=first.label,
        modalities=first.modalities,
        layers=first.layers,
        models=len(points),
        families=families,
        note=_note(len(points), families),
    )
    points = sorted(points, key=lambda point: point.model)  # so that no order of rows changes what is drawn
    alignment = np.array([point.alignment for point in points])
    probed = np.array([point.probed for point in points])
    if len(points) < 3:
        return link
    found = {"spearman": spearman(alignment, probed), "kendall": kendall(alignment, probed)}
    if None in found.values():
        return link.model_copy(update={"note": "all models have one value, in which there is no order"})
    if len(points) < FEWEST_MODELS:
        return link.model_copy(update=found)
    orders, drawn = _orders(len(points), permutations, seed)
    return link.model_copy(update={**found, **_p_values(alignment, probed, orders, drawn), "permutations": drawn})


def _note(models: int, families: int) -> str:
    if models < 3:
        return f"{models} models: no correlation can be told from so few"
    if models < FEWEST_MODELS:
        return f"{models} models: whatever their order, chance gives it too often for a p-value to mean much"
    return f"the {models} models are of one family" if families == 1 else ""


def _orders(n: int, permutations: int, seed: int) -> tuple[npt.NDArray[np.int64], int]:
    """Orders of n models, `(m, n)`, and how many of them were drawn: all are counted where they are few."""
    if n <= MOST_COUNTED:
        return np.array(list(itertools.permutations(range(n))), dtype=np.int64), 0
    stream = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    return stream.permuted(np.tile(np.arange(n), (permutations, 1)), axis=1), permutations


def _p_values(alignment: Floats, probed: Floats, orders: npt.NDArray[np.int64], drawn: int) -> dict[str, float]:
    """Shares of orders whose correlation is as high as that observed; the observed one is counted among those drawn."""
    ranks = mid_ranks(alignment) - (len(alignment) + 1) / 2, mid_ranks(probed)
    signs = tuple(np.sign(side[:, None] - side) for side in (alignment, probed))
    products = ranks[0][orders] @ ranks[1]
    concords = np.zeros(len(orders))
    for one, other in itertools.combinations(range(len(alignment)), 2):
        concords += signs[0][orders[:, one], orders[:, other]] * signs[1][one, other]
    observed = {"spearman_p": (products, ranks[0] @ ranks[1]), "kendall_p": (concords, (signs[0] * signs[1]).sum() / 2)}
    also = int(drawn > 0)
    return {
        name: (also + int(np.count_nonzero(null >= value - _ROUNDING))) / (also + len(orders))
        for name, (null, value) in observed.items()
    }


def points_of(
    records: Iterable[ScoreRecord], *, metric: str = "mknn", probe: str = "ridge-probe", k: int | None = None
) -> list[ModelPoint]:
    """The points that score records give: each crossmodal pair of one model, with each label probed on both its sides.

    k: neighbours counted, by whichever of the two counts them; None takes each record's first. Pairs whose label was
    not probed on both sides are left out.
    """
    records = list(records)
    told: dict[str, dict[str, float]] = {}
    for record in records:
        result = _result(record, probe, k) if record.spec.pair.kind == "probe" else None
        if result is not None:
            embedding, label = _sides(record)
            told.setdefault(embedding.digest, {})[label.modality.name] = result.value
    points = []
    for record in records:
        pair = record.spec.pair
        result = _result(record, metric, k) if pair.kind == "crossmodal" else None
        if result is None:
            continue
        left, right = told.get(pair.left.digest, {}), told.get(pair.right.digest, {})
        points += [
            ModelPoint(
                dataset=pair.left.dataset.name,
                dataset_digest=pair.left.dataset.digest,
                label=label,
                modalities=(pair.left.modality.name, pair.right.modality.name),
                model=pair.left.model.name,
                family=pair.left.model.family,
                layers=(pair.left.layer, pair.right.layer),
                alignment=result.value,
                left_probe=left[label],
                right_probe=right[label],
            )
            for label in sorted(left.keys() & right.keys())
        ]
    return points


def _result(record: ScoreRecord, name: str, k: int | None) -> MetricResult | None:
    """The result at this k; of what counts no neighbours, its only one."""
    first = record.result(name)
    return first if first is None or first.k is None else record.result(name, k)


def _sides(record: ScoreRecord) -> tuple[EmbeddingSpec, EmbeddingSpec]:
    """The embedding, and the label."""
    pair = record.spec.pair
    return (pair.right, pair.left) if pair.left.modality.kind == "label" else (pair.left, pair.right)
