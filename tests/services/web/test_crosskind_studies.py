"""A study of images against images, and against spectra by one model: its ladders over HTTP, by command, from CSV."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from typer.testing import CliRunner, Result

from samesky import Client
from scorer.differences import paired_difference
from scorer.pipeline import score
from scorer.records import read_objects, read_score
from scorer.streams import open_stream
from services.cli import app as command
from shared import keys
from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef, Scoring, Study
from shared.embeddings import commit_manifest, store_part
from shared.modalities import CatalogueColumn, Modality
from shared.outcomes import Attempt
from shared.planning import choose_pairs
from shared.store import MemoryStore
from shared.vectors import Vectors

Run = Callable[..., Result]
OBJECTS = 60
LATENT = np.random.default_rng(5).normal(size=(OBJECTS, 4))
SIZES = (("vit-small", "vit", 5.0), ("vit-base", "vit", 80.0), ("vit-large", "vit", 600.0))
SEEN = (
    *((Modality(name=name, kind="image", column=name, recipe="r-v1", bands=("g",)), SIZES) for name in ("hsc", "jwst")),
    (Modality(name="desi", kind="spectrum", column="s", recipe="s-v1"), (("specformer-base", "specformer", 43.0),)),
    (
        Modality(name="table", kind="numbers", recipe="numbers-v1", columns=(CatalogueColumn(name="g"),)),
        (("numbers", "numbers", 0.0),),
    ),
)
AGAINST = "sky (simulated): hsc against desi by specformer-base"


def make_embedding(modality: Modality, name: str, family: str, parameters: float) -> EmbeddingSpec:
    return EmbeddingSpec(
        dataset=DatasetRef(name="sky", revision="seed0", source="mocksky", location="0", rows=OBJECTS, simulated=True),
        modality=modality,
        model=ModelRef(
            name=name,
            family=family,
            adapter="fake",
            checkpoint=name,
            revision="1",
            pooling="mean",
            takes=modality.kind,
            parameters=parameters,
        ),
    )


def keep(store: MemoryStore, spec: EmbeddingSpec) -> None:
    """The latent world, seen the better the larger the model is."""
    stream = np.random.default_rng(int(spec.digest[:8], 16))
    blur = 3.0 / np.sqrt(1.0 + spec.model.parameters)
    seen = LATENT @ stream.normal(size=(4, 12)) + blur * stream.normal(size=(OBJECTS, 12))
    vectors = Vectors(tuple(f"g{row:03d}" for row in range(OBJECTS)), seen.astype(np.float32))
    part = store_part(
        store, spec, Attempt(name="a1", worker="w"), 0, vectors,
        dropped={}, repaired={}, seconds=0.0, at="2026-01-01T00:00:00+00:00", device="cpu", packages={},
    )  # fmt: skip
    commit_manifest(store, spec, {0: part})


@pytest.fixture(scope="module")
def scored() -> tuple[MemoryStore, Study]:
    """Three sizes of a family on two surveys' images, a spectrum and numbers by one model each: every score made."""
    store = MemoryStore()
    embeddings = [make_embedding(modality, *model) for modality, models in SEEN for model in models]
    study = Study(
        created_at="2026-01-01T00:00:00+00:00",
        embeddings=tuple(embeddings),
        pairs=tuple(choose_pairs(embeddings, ["crossmodal", "crosskind"])),
        scoring=Scoring(k=(5, 10), permutations=99, slow_permutations=99, resamples=99),
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
def run(api_url: str) -> Run:
    """Runs `samesky` with these arguments, at 80 columns."""
    environment = {"SAMESKY_API_URL": api_url, "COLUMNS": "80"}
    return lambda *arguments: CliRunner().invoke(command, [*map(str, arguments)], env=environment)


def read_pages(web: FlaskClient, address: str) -> list[dict[str, object]]:
    """The rows of a table, five at a time."""
    met = list[dict[str, object]]()
    address += "&limit=5"
    while address:
        page = web.get(address).json
        met, address = met + page["items"], page["next"]
    return met


def test_pages_have_each_row_once_and_say_against_which_model(web: FlaskClient, kept: Study) -> None:
    steps = f"/v1/studies/{kept.id}/differences?k=5"
    assert read_pages(web, steps) == web.get(steps).json["items"]
    curves = f"/v1/studies/{kept.id}/curves?k=5"
    met = read_pages(web, curves)
    assert met == web.get(curves).json["items"]
    ladders = {(row["kind"], row["left_modality"], row["right_modality"], row["against"]) for row in met}
    assert ladders == {
        ("crossmodal", "hsc", "jwst", None),
        *(("crosskind", seen, "desi", "specformer-base") for seen in ("hsc", "jwst")),
        *(("crosskind", seen, "table", "numbers") for seen in ("hsc", "jwst")),
    }
    assert len(met) == 3 * len(ladders)
    assert {row["model"] for row in met} == {name for name, *_ in SIZES}


def test_a_trend_pools_both_kinds_and_is_the_same_from_csv(api_url: str, run: Run, kept: Study, tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    with Client(api_url) as client:
        trend = client.trend(kept.id)
        file.write_bytes(client.score_table("csv", kept.id))
        values = {
            row["left_model"] if row["left_modality"] == "hsc" else row["right_model"]: row["value"]
            for row in client.scores(kept.id)
            if {row["left_modality"], row["right_modality"]} == {"hsc", "desi"} and row["k"] == 5
        }
    assert len(trend.groups) == 5
    assert (trend.overall.signs.steps, trend.k) == (10, 5)
    assert [(alone.group, alone.family) for alone in trend.left_out] == [
        ("sky (simulated): desi against table by numbers", "specformer"),
        ("sky (simulated): table against desi by specformer-base", "numbers"),
    ]
    (ladder,) = [each for each in trend.ladders if each.group == AGAINST]
    assert dict(zip(ladder.sizes, ladder.values, strict=True)) == values
    told = run("trend", "--csv", file, "--k", 5, "--json")
    assert (
        json.loads(told.stdout) == json.loads(run("trend", kept.id, "--json").stdout) == trend.model_dump(mode="json")
    )


def test_a_table_that_does_not_say_which_models_is_refused(api_url: str, run: Run, kept: Study, tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    with Client(api_url) as client:
        text = client.score_table("csv", kept.id).decode()
    file.write_text(text.replace("right_model", "theirs", 1))
    done = run("trend", "--csv", file, "--k", 5)
    assert done.exit_code == 2
    assert "a crosskind pair, of which it is not said which models it is of" in done.stderr


def test_steps_are_compared_object_by_object(api_url: str, store: MemoryStore, kept: Study) -> None:
    with Client(api_url) as client:
        rows = client.differences(kept.id)
    assert len(rows) == 10
    (step,) = [
        row
        for row in rows
        if (row["left_modality"], row["against"], row["smaller_model"]) == ("jwst", "specformer-base", "vit-small")
    ]
    records = {
        model: record
        for spec in kept.scores()
        for model in ("vit-small", "vit-base")
        if {(side.modality.name, side.model.name) for side in (spec.pair.left, spec.pair.right)}
        == {("jwst", model), ("desi", "specformer-base")}
        and (record := read_score(store, spec)) is not None
    }
    larger, smaller = records["vit-base"], records["vit-small"]
    (ids, values), (theirs, their_values) = read_objects(store, larger), read_objects(store, smaller)
    expected = paired_difference(
        ids, values["mknn@5"], theirs, their_values["mknn@5"], resamples=99, confidence=0.95,
        stream=open_stream("differences", 0, larger.spec.pair.digest, smaller.spec.pair.digest),
    )  # fmt: skip
    assert (step["larger_model"], step["larger_score"]) == ("vit-base", larger.spec.digest)
    assert (step["difference"], step["low"], step["p_value"]) == (
        expected.difference, expected.interval.low, expected.p_value,
    )  # fmt: skip


def test_people_read_against_which_model_in_80_columns(run: Run, kept: Study) -> None:
    for name, words in (
        ("curves", "sky (simulated): crosskind hsc against desi by specformer-base, mknn, k = 5"),
        ("differences", f"{AGAINST}, mknn, k = 5"),
        ("trend", f"{AGAINST}: 2 of 2 steps up"),
    ):
        done = run(name, kept.id)
        assert done.exit_code == 0, done.output
        assert words in " ".join(done.stdout.split()), done.stdout
        tables = [line for line in done.stdout.splitlines() if "sign test" not in line and "left out" not in line]
        assert max(map(len, tables)) <= 80


def test_files_and_figures_have_them_too(web: FlaskClient, kept: Study) -> None:
    for name, expected in (("curves", 30), ("differences", 10)):
        lines = web.get(f"/v1/studies/{kept.id}/{name}?format=csv").text.splitlines()
        assert ("against" in lines[0], len(lines)) == (True, 1 + expected)
        for form in ("ecsv", "parquet", "latex"):
            assert web.get(f"/v1/studies/{kept.id}/{name}?format={form}").status_code == 200
    figure = web.get(f"/v1/studies/{kept.id}/figures/scaling-crosskind.svg?k=5")
    assert figure.status_code == 200
    assert "against desi by specformer-base" in figure.text
