"""From resolved datasets and models to the jobs and pairs of a study. Pure functions on contracts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from shared.contracts import (
    DatasetRef,
    EmbeddingSpec,
    Modality,
    ModelRef,
    PairPolicy,
    PairSpec,
    Scoring,
    Study,
)
from shared.errors import BadStudy, TooFewObjects

Seen = tuple[DatasetRef, Sequence[Modality]]


def expand(
    datasets: Sequence[Seen],
    models: Sequence[ModelRef],
    policies: Sequence[PairPolicy],
    scoring: Scoring,
    *,
    title: str = "",
    created_at: str,
    metric_versions: Mapping[str, int] | None = None,
) -> Study:
    """The study of all models on all modalities they take, with the pairs the policies choose.

    What is asked for twice is in it once, and an embedding that no pair compares is not in it. Raises
    TooFewObjects when a dataset has no more than k rows, BadStudy when nothing is left to compare.
    """
    embeddings: list[EmbeddingSpec] = []
    for dataset, modalities in datasets:
        if dataset.rows <= scoring.k:
            raise TooFewObjects(
                f"k = {scoring.k} neighbours of {dataset.rows} objects in {dataset.name}",
                f"k < {dataset.rows}",
                "take a smaller k, or more objects",
            )
        embeddings += [
            EmbeddingSpec(dataset=dataset, modality=modality, model=model)
            for modality in modalities
            for model in models
            if model.takes == modality.kind
        ]
    embeddings = list({spec.digest: spec for spec in embeddings}.values())
    pairs = choose_pairs(embeddings, policies)
    if not pairs:
        raise BadStudy(
            f"the policies {', '.join(policies)} leave no pair to compare",
            "two modalities that one model takes (crossmodal), or two sizes of a family (intramodal)",
            "add a modality or a model, or choose another policy",
        )
    compared = sorted({index for pair in pairs for index in pair})
    place = {index: position for position, index in enumerate(compared)}
    return Study(
        title=title,
        created_at=created_at,
        embeddings=tuple(embeddings[index] for index in compared),
        pairs=tuple((place[a], place[b]) for a, b in pairs),
        scoring=scoring,
        metric_versions=dict(metric_versions or {}),
    )


def refuse_unseen(dataset: str, modalities: Iterable[Modality], models: Iterable[ModelRef]) -> None:
    """Raise BadStudy, naming it, for a modality asked for by name that none of the models takes."""
    taken = {model.takes for model in models}
    for modality in modalities:
        if modality.kind not in taken:
            raise BadStudy(
                f"no model of the study takes {modality.name} of {dataset}, which is a {modality.kind}",
                "a model for every modality that is named",
                "add such a model, or leave the modality out",
            )


def choose_pairs(embeddings: Sequence[EmbeddingSpec], policies: Iterable[PairPolicy]) -> list[tuple[int, int]]:
    """Index pairs chosen by any of the policies, each once, in the order of `embeddings`.

    `crossmodal`: same model, two modalities. `intramodal`: neighbouring sizes (by parameters) of one
    family, one modality. `all`: every two embeddings of one dataset.
    """
    wanted = set(policies)
    steps = _size_steps(embeddings)
    chosen = []
    for a, b in itertools.combinations(range(len(embeddings)), 2):
        left, right = embeddings[a], embeddings[b]
        if left.dataset.digest != right.dataset.digest:
            continue
        kind = PairSpec(left=left, right=right).kind
        if (
            "all" in wanted
            or ("crossmodal" in wanted and kind == "crossmodal")
            or ("intramodal" in wanted and kind == "intramodal" and (a, b) in steps)
        ):
            chosen.append((a, b))
    return chosen


def _size_steps(embeddings: Sequence[EmbeddingSpec]) -> set[tuple[int, int]]:
    ladders: dict[tuple[str, str, str], list[int]] = {}
    for index, spec in enumerate(embeddings):
        rung = (spec.dataset.digest, spec.modality.digest, spec.model.family)
        ladders.setdefault(rung, []).append(index)
    steps = set()
    for ladder in ladders.values():
        ladder.sort(key=lambda index: (embeddings[index].model.parameters, embeddings[index].model.name))
        steps |= {(min(pair), max(pair)) for pair in itertools.pairwise(ladder)}
    return steps
