"""Differences, links and the best of layers over HTTP, by the client and on the command line, from real scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise

import httpx
import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from typer.testing import CliRunner, Result

from samesky import Client
from scorer.differences import paired_difference
from scorer.pipeline import score
from scorer.records import read_nulls, read_objects, read_score
from scorer.streams import open_stream
from services.cli import app as command
from shared import keys
from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef, Scoring, Study
from shared.embeddings import commit_manifest, store_part
from shared.modalities import Modality
from shared.outcomes import Attempt, ScoreRecord
from shared.planning import choose_pairs
from shared.store import MemoryStore
from shared.vectors import Vectors

Run = Callable[..., Result]
OBJECTS, SIZES = 80, (5.0, 20.0, 80.0, 300.0, 1000.0)
LATENT = np.random.default_rng(3).normal(size=(OBJECTS, 4))


def make_embedding(modality: Modality, parameters: float, layer: str = "final") -> EmbeddingSpec:
    name = "label" if modality.kind == "label" else f"vit-{parameters:g}"
    return EmbeddingSpec(
        dataset=DatasetRef(name="sky", revision="seed0", source="mocksky", location="0", rows=OBJECTS, simulated=True),
        modality=modality,
        model=ModelRef(
            name=name,
            family="label" if name == "label" else "vit",
            adapter="fake",
            checkpoint=name,
            revision="1",
            pooling="mean",
            takes=modality.kind,
            parameters=parameters,
        ),
        layer=layer,
    )


def make_vectors(spec: EmbeddingSpec) -> Vectors:
    """The latent world, seen the better the larger the model is; its first axis as the label."""
    ids = tuple(f"g{row:03d}" for row in range(OBJECTS))
    if spec.modality.kind == "label":
        return Vectors(ids, LATENT[:, :1].astype(np.float32))
    stream = np.random.default_rng(int(spec.digest[:8], 16))
    blur = 3.0 if spec.layer != "final" else 6.0 / np.sqrt(spec.model.parameters)
    seen = LATENT @ stream.normal(size=(4, 12)) + blur * stream.normal(size=(OBJECTS, 12))
    return Vectors(ids, seen.astype(np.float32))


def keep(store: MemoryStore, spec: EmbeddingSpec) -> None:
    attempt = Attempt(name="a1", worker="w")
    part = store_part(
        store, spec, attempt, 0, make_vectors(spec),
        dropped={}, repaired={}, seconds=0.0, at="2026-01-01T00:00:00+00:00", device="cpu", packages={},
    )  # fmt: skip
    commit_manifest(store, spec, {0: part})


@pytest.fixture(scope="module")
def scored() -> tuple[MemoryStore, Study]:
    """Five sizes in two modalities, the smallest also after a block, and a label: every score made."""
    store = MemoryStore()
    seen = [Modality(name=name, kind="image", column=name, recipe="r-v1", bands=("g",)) for name in ("hsc", "jwst")]
    label = Modality(name="redshift", kind="label", column="z", recipe="label-v1")
    embeddings = [make_embedding(modality, size) for modality in seen for size in SIZES]
    embeddings += [make_embedding(modality, SIZES[0], "block-02") for modality in seen]
    embeddings.append(make_embedding(label, 0.0))
    study = Study(
        created_at="2026-01-01T00:00:00+00:00",
        embeddings=tuple(embeddings),
        pairs=tuple(choose_pairs(embeddings, ["crossmodal", "probes"])),
        scoring=Scoring(
            metrics=("mknn", "cka"),
            probes=("ridge-probe",),
            k=(5,),
            permutations=199,
            slow_permutations=99,
            resamples=199,
        ),
    )
    for spec in embeddings:
        keep(store, spec)
    for wanted in study.scores():
        score(wanted, store=store, threads=1, attempt=Attempt(name="a1", worker="w"))
    store.put(keys.study(study.id), study.to_json())
    return store, study


@pytest.fixture
def kept(store: MemoryStore, scored: tuple[MemoryStore, Study]) -> Study:
    made, study = scored
    for key in made.keys(""):
        store.put(key, made.get(key))
    return study


@pytest.fixture
def client(app: Flask) -> Iterator[Client]:
    with Client("http://localhost", transport=httpx.WSGITransport(app)) as opened:
        yield opened


@pytest.fixture
def run(api_url: str) -> Run:
    """Runs `samesky` with these arguments."""
    return lambda *arguments: CliRunner().invoke(command, [*map(str, arguments)], env={"SAMESKY_API_URL": api_url})


def crossmodal(store: MemoryStore, study: Study) -> dict[tuple[str, str, str], ScoreRecord]:
    """Records by model and layers."""
    records = [read_score(store, spec) for spec in study.scores() if spec.pair.kind == "crossmodal"]
    return {
        (one.spec.pair.left.model.name, one.spec.pair.left.layer, one.spec.pair.right.layer): one
        for one in records
        if one is not None
    }


def test_each_step_of_size_is_compared_object_by_object(store: MemoryStore, client: Client, kept: Study) -> None:
    rows = client.differences(kept.id)
    assert [(row["smaller_parameters"], row["larger_parameters"]) for row in rows] == [*pairwise(SIZES)]
    records = crossmodal(store, kept)
    larger, smaller = records["vit-20", "final", "final"], records["vit-5", "final", "final"]
    (ids, values), (theirs, their_values) = read_objects(store, larger), read_objects(store, smaller)
    expected = paired_difference(
        ids, values["mknn@5"], theirs, their_values["mknn@5"], resamples=199, confidence=0.95,
        stream=open_stream("differences", 0, larger.spec.pair.digest, smaller.spec.pair.digest),
    )  # fmt: skip
    first = rows[0]
    assert first["difference"] == pytest.approx(larger.results[0].value - smaller.results[0].value)
    assert (first["difference"], first["low"], first["p_value"]) == (
        expected.difference, expected.interval.low, expected.p_value,
    )  # fmt: skip
    assert all(row["difference"] > 0 and row["low"] < row["difference"] < row["high"] for row in rows[:2])
    assert all(row["q_value"] >= row["p_value"] for row in rows)
    assert rows == sorted(rows, key=lambda row: row["smaller_parameters"])


def test_a_metric_that_is_no_mean_over_objects_has_no_steps(run: Run, client: Client, kept: Study) -> None:
    assert client.differences(kept.id, metric="cka") == []
    assert "or the metric is no mean over objects" in run("differences", kept.id, "--metric", "cka").stdout


def test_models_that_agree_more_know_more(client: Client, kept: Study) -> None:
    (link,) = [row for row in client.links(kept.id) if row["left_layer"] == "final" == row["right_layer"]]
    assert (link["label"], link["models"], link["families"], link["simulated"]) == ("redshift", 5, 1, True)
    assert link["spearman"] > 0.8
    assert link["spearman_p"] <= 0.1
    assert "one family" in link["note"]


def test_a_link_at_some_k_has_probes_without_k(web: FlaskClient, client: Client, kept: Study) -> None:
    assert client.links(kept.id, k="5") == client.links(kept.id)
    for query, parameter in (("metric=cka-rbf", "metric"), ("probe=knn-probe", "probe")):
        refused = web.get(f"/v1/studies/{kept.id}/links?{query}")
        assert (refused.status_code, refused.json["errors"][0]["parameter"]) == (422, parameter)


def test_a_study_of_another_metric_has_its_trend_and_links(
    web: FlaskClient, client: Client, store: MemoryStore, kept: Study
) -> None:
    """Its first metric is shown, not one that it never asked for."""
    scoring = kept.scoring.model_copy(update={"metrics": ("cka",)})
    other = kept.model_copy(update={"scoring": scoring, "pairs": tuple(choose_pairs(kept.embeddings, ["crossmodal"]))})
    store.put(keys.study(other.id), other.to_json())
    for spec in other.scores():
        score(spec, store=store, threads=1, attempt=Attempt(name="a1", worker="w"))
    assert (client.trend(other.id).metric, client.trend(other.id).k) == ("cka", None)
    assert web.get(f"/v1/studies/{other.id}/links").json["meta"]["metric"] == "cka"
    assert web.get(f"/v1/studies/{other.id}/trend?metric=mknn").status_code == 422


def test_the_best_of_layers_is_held_against_the_best(store: MemoryStore, client: Client, kept: Study) -> None:
    (found,) = client.layers(kept.id)
    assert found["left_layers"] == found["right_layers"] == ["block-02", "final"]
    records = {place[1:]: one for place, one in crossmodal(store, kept).items() if place[0] == "vit-5"}
    best = max(records, key=lambda layers: records[layers].results[0].value)
    maxima = np.max([read_nulls(store, one)["mknn@5"] for one in records.values()], axis=0)
    assert (found["best"]["left_layer"], found["best"]["right_layer"]) == best
    assert found["best"]["value"] == records[best].results[0].value
    assert found["best"]["p_value"] == (1 + (maxima >= found["best"]["value"]).sum()) / 200
    assert found["best"]["threshold"] >= records[best].results[0].threshold


def test_damaged_values_are_told(web: FlaskClient, store: MemoryStore, kept: Study) -> None:
    for record in crossmodal(store, kept).values():
        store.put(record.per_object, b"altered")
    answer = web.get(f"/v1/studies/{kept.id}/differences")
    assert answer.status_code >= 400
    assert answer.get_json()["code"] == "altered-part"


@pytest.mark.parametrize("name", ["differences", "links"])
@pytest.mark.parametrize("form", ["csv", "ecsv", "latex", "parquet"])
def test_they_come_as_files(client: Client, kept: Study, name: str, form: str) -> None:
    data = client.table(kept.id, name, form)
    assert data
    if form == "csv":
        assert len(data.decode().splitlines()) == 1 + len(getattr(client, name)(kept.id))


def test_commands_show_them_in_80_columns(run: Run, kept: Study) -> None:
    for name, words in (
        ("differences", ("sky (simulated): hsc|jwst, mknn, k = 5", "vit-20", "95% interval")),
        ("links", ("sky (simulated): hsc|jwst", "redshift", "one family")),
        ("layers", ("vit-5, hsc (rows)|jwst (columns), mknn, k = 5", "block-02", "unrelated layers at their best")),
    ):
        done = run(name)
        assert done.exit_code == 0, done.output
        assert all(word in " ".join(done.stdout.split()) for word in words), done.stdout
        tables = [line for line in done.stdout.splitlines() if not line.startswith("best: ")]
        assert max(map(len, tables)) <= 80
    assert len(json.loads(run("differences", kept.id, "--format", "json").stdout)) == 4
    assert run("links", "--probe", "mknn").exit_code == 2
