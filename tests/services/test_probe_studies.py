"""Studies that probe: accepted with the labels of their datasets, which are jobs as any embedding is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.board import Board
from services.broker import Sender
from services.field_errors import validate
from services.studies import Studies
from shared.contracts import Scoring, Study
from shared.errors import BadStudy, BadTable, UnknownName
from shared.requests import StudyRequest
from shared.settings import Settings
from shared.store import MemoryStore

Accept = Callable[..., Study]


@pytest.fixture
def accept(redis_url: str, tmp_path: Path, store: MemoryStore, board: Board, sender: Sender) -> Accept:
    """Accepts a study of 24 objects in two images, with a redshift and a class of each."""
    folder = tmp_path / "sky"
    folder.mkdir()
    random = np.random.default_rng(5)
    columns: dict[str, Any] = {"z": random.random(24), "fr": random.choice(["I", "II"], 24), "n": ["III"] * 24}
    for band in ("near", "far"):
        fluxes = random.normal(size=(24, 1, 8, 8)).astype(np.float32).tolist()
        columns[f"{band}_image"] = [{"band": [band], "flux": flux, "scale": [1.0]} for flux in fluxes]
    pq.write_table(pa.table(columns), folder / "train-00000-of-00001.parquet")
    settings = Settings.read({"SAMESKY_REDIS_URL": redis_url, "SAMESKY_DATASET_ROOTS": str(tmp_path)})
    studies = Studies(settings, store, board, sender)

    def make(dataset: dict[str, Any] | None = None, **study: Any) -> Study:
        own = {
            "name": "sky",
            "folder": str(folder),
            "modalities": {band: {"column": f"{band}_image", "bands": [band]} for band in ("near", "far")},
            "labels": {"redshift": {"column": "z"}, "fr_class": {"column": "fr", "classes": ["I", "II"]}},
            **(dataset or {}),
        }
        body = {"datasets": [own], "models": ["fake-small"], "pairs": ["crossmodal", "probes"], **study}
        return studies.accept(validate(StudyRequest, body))[0]

    return make


def test_a_study_that_probes_has_its_labels(accept: Accept) -> None:
    study = accept()
    assert [spec.label for spec in study.embeddings] == [
        "sky/far/fake-small", "sky/near/fake-small", "sky/fr_class/label", "sky/redshift/label",
    ]  # fmt: skip
    kinds = [score.pair.kind for score in study.scores()]
    assert sorted(kinds) == ["crossmodal"] + ["probe"] * 4
    for score in study.scores():
        probing = score.pair.kind == "probe"
        assert score.scoring.metrics == (Scoring().probes if probing else ("mknn",))
        assert set(score.metric_versions) == set(score.scoring.metrics)


def test_a_study_without_probes_is_what_it_was(accept: Accept) -> None:
    defined, bare = accept(pairs=["crossmodal"]), accept({"labels": {}}, pairs=["crossmodal"])
    assert defined.id == bare.id
    assert set(bare.metric_versions) == {"mknn"}
    wanted = {score.digest for score in bare.scores()}
    assert wanted < {
        score.digest for score in accept().scores()
    }  # the pair's score is shared with the study that probes


def test_labels_are_taken_at_the_final_layer_whatever_the_layers_of_the_models(accept: Accept) -> None:
    study = accept(layers=["block-00", "block-01"])
    assert {spec.layer for spec in study.embeddings if spec.modality.kind == "label"} == {"final"}
    assert sum(score.pair.kind == "probe" for score in study.scores()) == 2 * 2 * 2


def test_labels_of_the_catalogue_are_probed_all_or_by_name(accept: Accept) -> None:
    study = accept(datasets=["mocksky"], pairs=["probes"])
    assert sum(spec.modality.kind == "label" for spec in study.embeddings) == 8
    assert len(study.pairs) == 3 * 8
    some = accept(datasets=[{"name": "mocksky", "modalities": ["hsc"], "labels": ["redshift"]}], pairs=["probes"])
    assert [score.pair.label for score in some.scores()] == ["mocksky/hsc/fake-small|mocksky/redshift/label"]


def test_what_cannot_be_probed_is_refused(accept: Accept, store: MemoryStore) -> None:
    with pytest.raises(BadStudy, match="none is known of sky"):
        accept({"labels": {}})
    with pytest.raises(BadTable, match="column n of label redshift is a string"):
        accept({"labels": {"redshift": {"column": "n"}}})
    with pytest.raises(UnknownName, match="no probe 'ridge-prob'"):
        accept(scoring={"probes": ["ridge-prob"]})
    assert list(store.keys("studies/")) == []
