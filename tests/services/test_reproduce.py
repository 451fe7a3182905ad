"""A study run again from its archive alone, on a whole installation of real processes, and held against the first run.

The first run was made in this process, part by part, by the functions the workers call.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from embedder import pipeline
from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model
from embedder.resolve import resolve_dataset, resolve_model
from embedder.sources.kinds import open_source
from scorer.agreement import StudyAgreement, Verdict, compare_studies
from scorer.pipeline import score
from services.cli import app
from services.field_errors import validate
from services.reproduction import check_runnable, reproduce
from shared import keys
from shared.archive import write_archive
from shared.contracts import Study
from shared.errors import BadInput, UnknownName
from shared.outcomes import Attempt
from shared.planning import expand
from shared.requests import StudyRequest
from shared.settings import Settings
from shared.store import DirectoryStore, MemoryStore
from shared.zip_store import ZipStore

ROWS = 40
Run = Callable[..., Result]


def write_table(folder: Path) -> None:
    """40 objects with two images of one band, which show the same thing in other noise."""
    stream = np.random.default_rng(11)
    seen = stream.normal(size=(ROWS, 1, 24, 24))

    def images(band: str) -> list[dict[str, Any]]:
        fluxes = (seen + 0.5 * stream.normal(size=seen.shape)).astype(np.float32)
        return [{"band": [band], "flux": flux.tolist(), "scale": [1.0]} for flux in fluxes]

    flux = pa.list_(pa.list_(pa.list_(pa.float32())))
    image = pa.struct([("band", pa.list_(pa.string())), ("flux", flux), ("scale", pa.list_(pa.float32()))])
    columns = {f"{name}_image": pa.array(images(name), image) for name in ("near", "far")}
    ids = pa.array([f"galaxy {row}" for row in range(ROWS)])
    folder.mkdir()
    pq.write_table(pa.table({"object_id": ids, **columns}), folder / "train-00000-of-00001.parquet")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the dataset."""
    folder = tmp_path_factory.mktemp("tables") / "twin"
    write_table(folder)
    return folder


@pytest.fixture(scope="module")
def first(data: Path) -> tuple[MemoryStore, Study]:
    """A study of two fake models, done once, with its store."""
    modalities = {name: {"column": f"{name}_image", "bands": [name]} for name in ("near", "far")}
    request = validate(
        StudyRequest,
        {
            "title": "Twins",
            "datasets": [
                {"name": "twin", "folder": str(data), "id_column": "object_id", "modalities": modalities},
            ],
            "models": ["fake-small", "fake-large"],
            "pairs": ["crossmodal", "intramodal"],
            "scoring": {"k": [3, 5], "permutations": 99, "resamples": 99},
        },
    )
    settings = Settings.read({"SAMESKY_DATASET_ROOTS": str(data.parent)})
    study = expand(
        [resolve_dataset(dataset, settings) for dataset in request.datasets],
        [resolve_model(find_model(name), settings) for name in request.models],
        request.pairs,
        request.scoring,
        title=request.title,
        created_at="2026-01-01T00:00:00+00:00",
        metric_versions={"mknn": 1},
    )
    store, attempt = MemoryStore(), Attempt(name="first", worker="then:1")
    store.put(keys.study(study.id), study.to_json())
    for spec in study.embeddings:
        for part in range(spec.parts()):
            pipeline.embed_part(
                [spec],
                part,
                source=open_source(spec.dataset, settings),
                adapter=load_adapter(spec.model, settings),
                store=store,
                attempt=attempt,
                batch=7,
                on_rows=lambda rows: None,
            )
        assert pipeline.finish(spec, store) is not None
    for spec in study.scores():
        score(spec, store=store, threads=1, attempt=attempt)
    return store, study


@pytest.fixture(scope="module")
def archive(first: tuple[MemoryStore, Study], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first run as one file."""
    file = tmp_path_factory.mktemp("archive") / "twins.zip"
    file.write_bytes(b"".join(write_archive(*first)))
    return file


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs `samesky` with these arguments; what it keeps lies in a temporary folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMESKY_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("SAMESKY_RECONCILE_SECONDS", "1")
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("temporary")))
        yield lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture(scope="module")
def again(run: Run, archive: Path) -> tuple[Result, Path]:
    """What `samesky reproduce FILE.zip --keep` said, and the folder it kept."""
    done = run("reproduce", archive, "--keep")
    assert done.stderr.startswith("it runs in "), done.output
    return done, Path(done.stderr.splitlines()[0].removeprefix("it runs in "))


@pytest.fixture
def altered(archive: Path, first: tuple[MemoryStore, Study], tmp_path: Path) -> Path:
    """The archive with one value of one record altered."""
    target, key = tmp_path / "altered.zip", keys.score(first[1].scores()[0])
    with zipfile.ZipFile(archive) as good, zipfile.ZipFile(target, "w") as bad:
        for name in good.namelist():
            record = json.loads(good.read(name)) if name == key else None
            if record:
                record["results"][0]["value"] = 0.875
            bad.writestr(name, json.dumps(record) if record else good.read(name))
    return target


def test_a_study_comes_out_again(again: tuple[Result, Path], first: tuple[MemoryStore, Study]) -> None:
    done, folder = again
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.splitlines()[:12])) <= 80
    assert done.stdout.count(" equal") == 8 + 1
    assert f"study {first[1].id}: 8 results: 8 equal" in done.stdout
    assert "embeddings: 4 of 4 have the same bytes" in done.stdout
    assert "machine then then, " in done.stdout
    agreement = compare_studies(first[1], first[0], DirectoryStore(folder / "store"))
    assert agreement.verdict is Verdict.EQUAL
    assert {embedding.equal_parts for embedding in agreement.embeddings} == {2}


def test_it_leaves_no_process_behind(again: tuple[Result, Path]) -> None:
    place = f"file://{again[1] / 'store'}"
    mine = [each for each in psutil.process_iter() if each.uids().real == os.getuid()]
    assert not [each for each in mine if environment_of(each).get("SAMESKY_STORE_URL") == place]
    assert json.loads((again[1] / "reproduction.json").read_text())["study"], "it is the folder that it ran in"


def environment_of(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:  # it has ended meanwhile
        return {}


def test_an_altered_record_is_different_with_both_numbers(
    again: tuple[Result, Path], run: Run, altered: Path, first: tuple[MemoryStore, Study]
) -> None:
    done = run("reproduce", altered, "--resume", again[1])
    assert done.exit_code == 1
    assert "does not verify (entries, means, nulls)" in done.stderr
    true = json.loads(first[0].get(keys.score(first[1].scores()[0])))["results"][0]["value"]
    label = first[1].scores()[0].pair.label
    assert f"{label}: value of mknn@3 was 0.875, is {true!r}" in done.stdout
    assert "8 results: 7 equal, 1 different" in done.stdout
    told = run("reproduce", altered, "--resume", again[1], "--json")
    agreement = StudyAgreement.model_validate_json(told.stdout)
    assert (told.exit_code, agreement.verdict) == (1, Verdict.DIFFERENT)
    assert agreement.scores[0].results[0].figures[0].now == true


def test_a_folder_of_another_study_is_not_gone_on_in(
    again: tuple[Result, Path], scored: tuple[MemoryStore, Study], tmp_path: Path
) -> None:
    (tmp_path / "other.zip").write_bytes(b"".join(write_archive(*scored)))
    with ZipStore(tmp_path / "other.zip") as other, pytest.raises(BadInput, match="holds something else"):
        reproduce(other, Settings.read({}), again[1], Console())


def test_data_that_are_not_here_are_named_before_anything_starts(
    archive: Path, data: Path, tmp_path: Path, first: tuple[MemoryStore, Study]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(data, elsewhere)
    settings = Settings.read({})
    check_runnable(first[1], settings)
    (elsewhere / "more.parquet").write_bytes(b"")
    with ZipStore(archive) as opened:
        for place, says in (
            (tmp_path / "none", "dataset twin is not here: there is no folder .*none; expected local-.*--data twin="),
            (elsewhere, "dataset twin is not here: .*elsewhere holds local-.*; expected revision local-"),
        ):
            with pytest.raises(BadInput, match=says):
                reproduce(opened, settings, tmp_path / "run", Console(), places={"twin": place})
        closed = Settings.read({"SAMESKY_DATASET_ROOTS": str(tmp_path / "roots")})
        with pytest.raises(BadInput, match="is not under SAMESKY_DATASET_ROOTS"):
            reproduce(opened, closed, tmp_path / "run", Console())
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == ["reproduction.json", "store"]


def test_a_metric_of_another_version_is_named_before_anything_starts(first: tuple[MemoryStore, Study]) -> None:
    later = first[1].model_copy(update={"metric_versions": {"mknn": 99}})
    with pytest.raises(UnknownName, match="this release has version 1 of mknn; expected version 99"):
        check_runnable(later, Settings.read({}))
    scoring = first[1].scoring.model_copy(update={"metrics": ("of-tomorrow",)})
    with pytest.raises(UnknownName, match="there is no metric 'of-tomorrow'"):
        check_runnable(first[1].model_copy(update={"scoring": scoring}), Settings.read({}))


def test_a_sky_of_another_version_is_named_before_anything_starts(scored: tuple[MemoryStore, Study]) -> None:
    spec = scored[1].embeddings[0]
    dataset = spec.dataset.model_copy(update={"revision": "v0-seed0"})
    study = scored[1].model_copy(
        update={"embeddings": tuple(one.model_copy(update={"dataset": dataset}) for one in scored[1].embeddings)}
    )
    with pytest.raises(BadInput, match="this release simulates sky at version v1"):
        check_runnable(study, Settings.read({}))
