"""A store in a folder with many scores, for whoever reads them.

Embeddings are stored and the first scores made by the functions that do so in a study; each of the other records is the
first one's with the specification of its own pair, beside tables of its own, as it would stand there.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from scorer.pipeline import score
from shared import keys
from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef, ScoreSpec, Scoring, Study
from shared.embeddings import commit_manifest, store_part
from shared.modalities import Modality
from shared.outcomes import Attempt
from shared.planning import expand
from shared.store import DirectoryStore
from shared.vectors import Vectors

OBJECTS, DIMENSION, SIZES = 32, 8, 12
_REALLY_SCORED = 8
_AT = "2026-01-01T00:00:00+00:00"
_ATTEMPT = Attempt(name="bench", worker="bench:1")


def plan(records: int) -> tuple[Study, list[ScoreSpec]]:
    """A study of every two of its embeddings, and the first `records` of its scores."""
    embeddings = math.ceil((1 + math.sqrt(1 + 8 * records)) / 2)
    dataset = DatasetRef(name="wide", revision="1", source="mocksky", location="1", rows=OBJECTS, simulated=True)
    models = [_model(size) for size in range(SIZES)]
    modalities = [_modality(number) for number in range(math.ceil(embeddings / SIZES))]
    study = expand([(dataset, modalities)], models, ["all"], Scoring(permutations=99, resamples=99), created_at=_AT)
    return study, [study.score(a, b) for a, b in study.pairs[:records]]


def fill_store(folder: Path, records: int) -> None:
    """Make the store at `folder` hold that many scores; one that does is left as it is."""
    store = DirectoryStore(folder)
    if sum(map(keys.is_score, store.keys(keys.SCORES))) == records:
        return
    study, wanted = plan(records)
    store.prepare()
    for place, embedding in enumerate(study.embeddings):
        _embed(store, embedding, place)
    for spec in wanted[:_REALLY_SCORED]:
        score(spec, store=store, threads=1, attempt=_ATTEMPT)
    tables = store.get(keys.score_objects(wanted[0])), store.get(keys.score_nulls(wanted[0]))
    for place, spec in enumerate(wanted[_REALLY_SCORED:]):
        told = score(wanted[place % _REALLY_SCORED], store=store, threads=1, attempt=_ATTEMPT)
        objects, nulls = keys.score_objects(spec), keys.score_nulls(spec)
        record = told.model_copy(update={"spec": spec, "per_object": objects, "nulls": nulls})
        for key, data in ((objects, tables[0]), (nulls, tables[1]), (keys.score(spec), record.to_json())):
            file = folder / key
            file.parent.mkdir(parents=True, exist_ok=True)  # as the store would, but for the syncing of each
            file.write_bytes(data)


def _embed(store: DirectoryStore, spec: EmbeddingSpec, seed: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(OBJECTS, DIMENSION)).astype(np.float32)
    vectors = Vectors(tuple(f"g{row:04d}" for row in range(OBJECTS)), matrix)
    told = {"dropped": {}, "repaired": {}, "seconds": 1.0, "at": _AT, "device": "cpu", "packages": {"numpy": "2"}}
    part = store_part(store, spec, _ATTEMPT, 0, vectors, **told)  # type: ignore[arg-type]
    commit_manifest(store, spec, {0: part})


def _model(size: int) -> ModelRef:
    return ModelRef(
        name=f"fake-{size:02d}",
        family="fake",
        adapter="fake",
        checkpoint=f"org/fake-{size:02d}",
        revision="0" * 40,
        pooling="mean",
        parameters=float(size + 1),
    )


def _modality(number: int) -> Modality:
    name = f"survey-{number:03d}"
    return Modality(name=name, kind="image", column=f"{name}_image", recipe="arcsinh-image-v1", bands=("g", "r", "i"))
