"""From resolved datasets and models to the jobs and pairs of a study. Pure functions on contracts."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from shared.contracts import DatasetRef, Dtype, EmbeddingSpec, ModelRef, PairPolicy, Scoring, Study
from shared.errors import BadStudy, TooFewObjects
from shared.modalities import GIVEN, Modality

Seen = tuple[DatasetRef, Sequence[Modality]]
MOST_EMBEDDINGS, MOST_PAIRS = 10_000, 50_000
"""Of one study: every look at it looks at each of them. What is larger is asked for as several studies."""


def expand(
    datasets: Sequence[Seen],
    models: Sequence[ModelRef],
    policies: Sequence[PairPolicy],
    scoring: Scoring,
    *,
    title: str = "",
    created_at: str,
    metric_versions: Mapping[str, int] | None = None,
    layers: Mapping[str, Sequence[str]] | None = None,
    dtype: Dtype = "float32",
    published: Sequence[EmbeddingSpec] = (),
) -> Study:
    """The study of all models on all modalities they take, with the pairs the policies choose.

    layers: where vectors are taken, by model; of a model not named, the final one. dtype: what networks compute in.
    published: embeddings that are in the tables already, each of one model and one modality.
    What is asked for twice is in it once, and an embedding that no pair compares is not in it: so labels are in it only
    where they are probed. Raises TooFewObjects when a dataset has no more than k rows, BadStudy when nothing is left to
    compare, or too much, and for probes where no dataset has a label.
    """
    if "probes" in policies:
        _refuse_without_labels(datasets)
    for dataset, _ in datasets:
        _refuse_too_few(dataset, scoring)
    depths = {model.name: tuple((layers or {}).get(model.name, ("final",))) for model in models}
    _refuse_more(len(published) + _count_asked(datasets, models, depths), MOST_EMBEDDINGS, "embeddings")
    computed = [
        EmbeddingSpec(
            dataset=dataset,
            modality=modality,
            model=model,
            layer=layer,
            dtype="float32" if modality.kind in GIVEN else dtype,
        )
        for dataset, modalities in datasets
        for modality in modalities
        for model in models
        if model.can_take(modality)
        for layer in depths[model.name]
    ]
    embeddings = list({spec.digest: spec for spec in (*computed, *published)}.values())
    pairs = choose_pairs(embeddings, policies)
    if not pairs:
        raise BadStudy(
            f"the policies {', '.join(policies)} leave no pair to compare",
            "two modalities that one model takes (crossmodal), two sizes of a family (intramodal), modalities of two "
            "kinds (crosskind), or an embedding and a label (probes)",
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


def _refuse_too_few(dataset: DatasetRef, scoring: Scoring) -> None:
    if dataset.rows <= scoring.largest_k:
        raise TooFewObjects(
            f"k = {scoring.largest_k} neighbours of {dataset.rows} objects in {dataset.name}",
            f"k < {dataset.rows}",
            "take a smaller k, or more objects",
        )


def _count_asked(datasets: Sequence[Seen], models: Sequence[ModelRef], depths: Mapping[str, Sequence[str]]) -> int:
    """Embeddings asked for at the most: before any is made, so that a study that is too large costs nothing."""
    takers: Counter[str] = Counter()
    for model in models:
        takers[model.takes] += len(depths[model.name])
    return sum(takers[modality.kind] for _, modalities in datasets for modality in modalities)


def refuse_unseen(dataset: str, modalities: Iterable[Modality], models: Iterable[ModelRef]) -> None:
    """Raise BadStudy, naming it, for a modality asked for by name that none of the models takes. Labels need none."""
    takers = tuple(models)
    for modality in modalities:
        if modality.kind != "label" and not any(model.can_take(modality) for model in takers):
            raise BadStudy(
                f"no model of the study takes {modality.name} of {dataset}, which is a {modality.kind}",
                "a model for every modality that is named",
                "add such a model, or leave the modality out",
            )


def refuse_idle(models: Iterable[ModelRef], datasets: Iterable[Seen]) -> None:
    """Raise BadStudy, naming it, for a model that takes nothing of any dataset: it would be left out without a word."""
    there = [modality for _, modalities in datasets for modality in modalities]
    for model in models:
        if not any(model.can_take(modality) for modality in there):
            kinds = ", ".join(sorted({modality.kind for modality in there} - {"label"})) or "nothing"
            raise BadStudy(
                f"{model.name} takes no modality of the study: it takes {model.takes} data, and there is {kinds}",
                "a modality for every model that is named",
                "leave the model out, or add a dataset that it takes",
            )


def choose_pairs(embeddings: Sequence[EmbeddingSpec], policies: Iterable[PairPolicy]) -> list[tuple[int, int]]:
    """Index pairs chosen by any of the policies, each once, in the order of `embeddings`.

    `crossmodal`: same model, two modalities, each layer with each. `intramodal`: neighbouring sizes (by parameters)
    of one family, one modality, final layers. `crosskind`: modalities of two kinds, such as an image and a spectrum,
    every model with every model, final layers. `all`: every two embeddings of one dataset. `probes`: every embedding
    with every label of its dataset; no other policy pairs a label, and none pairs two. Raises BadStudy for more than
    MOST_PAIRS.
    """
    wanted = set(policies)
    labels = [index for index, spec in enumerate(embeddings) if spec.modality.kind == "label"]
    others = [index for index, spec in enumerate(embeddings) if spec.modality.kind != "label"]
    chosen = _size_steps(embeddings, others) if "intramodal" in wanted else set()
    groups: dict[tuple[str, ...], list[int]] = {}
    if wanted & {"all", "crossmodal"}:
        for index in others:
            spec = embeddings[index]
            home = spec.dataset.digest
            together = (home,) if "all" in wanted else (home, spec.model.name, _how(spec))
            groups.setdefault(together, []).append(index)
    _refuse_more(sum(math.comb(len(group), 2) for group in groups.values()), MOST_PAIRS, "pairs")
    for a, b in itertools.chain.from_iterable(itertools.combinations(group, 2) for group in groups.values()):
        if "all" in wanted or embeddings[a].modality.name != embeddings[b].modality.name:
            chosen.add((a, b))
    if "crosskind" in wanted:
        chosen |= _of_two_kinds(embeddings, others)
    if "probes" in wanted:
        chosen |= _probes(embeddings, others, labels)
    _refuse_more(len(chosen), MOST_PAIRS, "pairs")
    return sorted(chosen)


def _how(spec: EmbeddingSpec) -> str:
    """How its vectors come: what was computed and what was published make no ladder, and no model of two modalities."""
    return "published" if spec.published else "computed"


def _of_two_kinds(embeddings: Sequence[EmbeddingSpec], among: Sequence[int]) -> set[tuple[int, int]]:
    homes: dict[str, dict[str, list[int]]] = {}
    for index in among:
        spec = embeddings[index]
        if spec.layer == "final":
            homes.setdefault(spec.dataset.digest, {}).setdefault(spec.modality.seen, []).append(index)
    two = [pair for kinds in homes.values() for pair in itertools.combinations(kinds.values(), 2)]
    _refuse_more(sum(len(ours) * len(theirs) for ours, theirs in two), MOST_PAIRS, "pairs")
    return {(min(a, b), max(a, b)) for ours, theirs in two for a in ours for b in theirs}


def _probes(embeddings: Sequence[EmbeddingSpec], others: Sequence[int], labels: Sequence[int]) -> set[tuple[int, int]]:
    homes: dict[str, list[int]] = {}
    for label in labels:
        homes.setdefault(embeddings[label].dataset.digest, []).append(label)
    known = [(index, homes.get(embeddings[index].dataset.digest, [])) for index in others]
    _refuse_more(sum(len(at_home) for _, at_home in known), MOST_PAIRS, "pairs")
    return {(min(index, label), max(index, label)) for index, at_home in known for label in at_home}


def _refuse_more(number: int, most: int, what: str) -> None:
    if number > most:
        raise BadStudy(
            f"a study of {number:,} {what}", f"at most {most:,} {what}", "ask for fewer of them, or for several studies"
        )


def _refuse_without_labels(datasets: Sequence[Seen]) -> None:
    if not any(modality.kind == "label" for _, modalities in datasets for modality in modalities):
        names = ", ".join(dict.fromkeys(dataset.name for dataset, _ in datasets))
        raise BadStudy(
            f"the policy probes has no label to hold embeddings against: none is known of {names:.200}",
            "a dataset with labels",
            "give `labels` to a dataset of your own, take a catalogue dataset that has some, or leave probes out",
        )


def _size_steps(embeddings: Sequence[EmbeddingSpec], among: Iterable[int]) -> set[tuple[int, int]]:
    ladders: dict[tuple[str, ...], list[int]] = {}
    for index in among:
        spec = embeddings[index]
        if spec.layer != "final":
            continue
        rung = (spec.dataset.digest, spec.modality.name, spec.model.family, _how(spec))
        ladders.setdefault(rung, []).append(index)
    steps = set()
    for ladder in ladders.values():
        ladder.sort(key=lambda index: (embeddings[index].model.parameters, embeddings[index].model.name))
        steps |= {(min(pair), max(pair)) for pair in itertools.pairwise(ladder)}
    return steps
