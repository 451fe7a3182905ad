"""Verification as a whole: what each check looks at, where it stops, what it leaves to whoever asks again.

What it finds in altered archives is in tests/bad_input/test_archives.py.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scorer.metrics import METRICS, PROBES, metric_versions
from scorer.pipeline import score
from scorer.records import read_score, write_objects
from scorer.verification import Check, verify
from shared import keys
from shared.archive import write_archive
from shared.contracts import EmbeddingSpec, Scoring, Study
from shared.errors import StoreUnavailable
from shared.modalities import Modality
from shared.outcomes import Attempt, Manifest, MetricResult
from shared.records import sha256_of
from shared.store import MemoryStore, ObjectStore
from shared.vectors import Vectors
from shared.zip_store import ZipStore

Scored = tuple[MemoryStore, Study]
ROOT = Path(__file__).resolve().parents[2]


def checks_of(store: MemoryStore, study: Study, folder: Path, *, vectors: bool = False) -> dict[str, Check]:
    file = folder / "study.zip"
    file.write_bytes(b"".join(write_archive(store, study, vectors=vectors)))
    with ZipStore(file) as archive:
        return {check.name: check for check in verify(archive, threads=1)}


@pytest.mark.parametrize("vectors", [False, True])
def test_what_was_exported_passes(scored: Scored, tmp_path: Path, vectors: bool) -> None:
    checks = checks_of(*scored, tmp_path, vectors=vectors)
    assert all(check.passed for check in checks.values())
    assert ("anew" in checks) == vectors
    assert all(check.looked_at for check in checks.values())


def test_every_metric_of_this_release_passes(scored: Scored, scored_copy: MemoryStore, tmp_path: Path) -> None:
    scoring = scored[1].scoring.model_copy(update={"metrics": tuple(METRICS), "slow_permutations": 99})
    versions = metric_versions(scoring, probes=False)
    study = scored[1].model_copy(update={"scoring": scoring, "metric_versions": versions, "pairs": scored[1].pairs[:2]})
    scored_copy.put(keys.study(study.id), study.to_json())
    for spec in study.scores():
        score(spec, store=scored_copy, threads=1, attempt=Attempt(name="a1", worker="then:1"))
    checks = checks_of(scored_copy, study, tmp_path, vectors=True)
    assert [problem for check in checks.values() for problem in check.problems] == []
    assert checks["anew"].looked_at == 2


Maker = Callable[..., EmbeddingSpec]
Keeper = Callable[[ObjectStore, EmbeddingSpec, Vectors], Manifest]


@pytest.mark.parametrize("classes", [(), ("early", "late")], ids=["a number", "words"])
def test_every_probe_of_this_release_passes(
    make_spec: Maker, store_embedding: Keeper, tmp_path: Path, classes: tuple[str, ...]
) -> None:
    stream, store = np.random.default_rng(4), MemoryStore()
    label = stream.standard_normal((64, 1))
    matrix = np.hstack([label, stream.standard_normal((64, 5))])
    values = (label > 0) if classes else label
    galaxies, modality = (
        make_spec("hsc", rows=64),
        Modality(name="redshift", kind="label", column="z", recipe="label-v1", classes=classes),
    )
    model = galaxies.model.model_copy(update={"name": "label", "family": "label", "takes": "label"})
    known = galaxies.model_copy(update={"modality": modality, "model": model})
    ids = tuple(f"galaxy {row}" for row in range(64))
    for spec, numbers in ((galaxies, matrix), (known, values)):
        store_embedding(store, spec, Vectors(ids, numbers.astype(np.float32)))
    scoring = Scoring(k=(3, 5), permutations=99, slow_permutations=99, resamples=99, probes=tuple(PROBES))
    study = Study(
        created_at="2026-01-01T00:00:00+00:00",
        embeddings=(galaxies, known),
        pairs=((0, 1),),
        scoring=scoring,
        metric_versions=metric_versions(scoring, probes=True),
    )
    store.put(keys.study(study.id), study.to_json())
    score(study.scores()[0], store=store, threads=1, attempt=Attempt(name="a1", worker="then:1"))
    checks = checks_of(store, study, tmp_path, vectors=True)
    assert [problem for check in checks.values() for problem in check.problems] == []
    assert checks["means"].looked_at == checks["nulls"].looked_at == checks["anew"].looked_at == 1


def test_a_metric_that_this_release_does_not_know_is_taken_as_it_is(
    scored: Scored, scored_copy: MemoryStore, tmp_path: Path
) -> None:
    scoring = scored[1].scoring.model_copy(update={"metrics": ("of-tomorrow",)})
    study = scored[1].model_copy(
        update={"scoring": scoring, "metric_versions": {"of-tomorrow": 1}, "pairs": scored[1].pairs[:1]}
    )
    scored_copy.put(keys.study(study.id), study.to_json())
    record = read_score(scored_copy, scored[1].scores()[0])
    (spec,) = study.scores()
    assert record is not None
    result = MetricResult(metric="of-tomorrow", metric_version=1, value=2.5)
    changed = {"spec": spec, "results": (result,), "per_object": keys.score_objects(spec), "nulls": ""}
    objects = write_objects([f"galaxy {row}" for row in range(40)], {})
    scored_copy.put(keys.score_objects(spec), objects)
    changed["per_object_sha256"] = sha256_of(objects)
    scored_copy.put(keys.score(spec), record.model_copy(update=changed).to_json())
    checks = checks_of(scored_copy, study, tmp_path)
    assert all(check.passed for check in checks.values()), checks
    scored_copy.put(keys.score(spec), record.model_copy(update={**changed, "results": ()}).to_json())
    checks = checks_of(scored_copy, study, tmp_path)
    assert checks["results"].problems == (f"{spec.pair.label} has no of-tomorrow",)


def test_an_unfinished_study_is_whole_but_for_what_it_says(
    scored: Scored, scored_copy: MemoryStore, tmp_path: Path
) -> None:
    _, study = scored
    last = study.scores()[-1]
    for key in (keys.score(last), keys.score_objects(last), keys.score_nulls(last)):
        scored_copy.delete(key)
    checks = checks_of(scored_copy, study, tmp_path)
    assert [name for name, check in checks.items() if not check.passed] == ["scores"]
    assert checks["scores"].problems == (f"there is no score of {last.pair.label}",)
    assert (checks["scores"].looked_at, checks["means"].looked_at) == (4, 3)


def test_without_an_index_or_a_study_there_is_nothing_to_hold_the_rest_against(scored: Scored) -> None:
    assert [check.name for check in verify(scored[0])] == ["index"]


class Away(MemoryStore):
    """A store that does not answer."""

    def get(self, key: str) -> bytes:
        raise StoreUnavailable("it does not answer")


def test_a_store_that_does_not_answer_is_no_damaged_archive() -> None:
    with pytest.raises(StoreUnavailable):
        list(verify(Away()))


def test_verifying_records_loads_neither_faiss_nor_torch() -> None:
    code = "import sys, scorer.verification; print(sorted({'faiss', 'torch', 'celery', 'flask'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"
