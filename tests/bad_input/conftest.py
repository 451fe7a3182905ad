"""What every door shares: how a refusal is checked, and a store and a folder that may not change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from services.api import create_app
from services.board import Board
from services.broker import Sender, make_app
from services.seeing import Seeing
from services.studies import Studies
from shared import keys
from shared.contract import Contract
from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef, PairSpec, ScoreSpec, Scoring, Study
from shared.errors import SameSkyError
from shared.modalities import Modality
from shared.outcomes import Failure, Interval, Manifest, MetricResult, Part, Provenance, ScoreRecord
from shared.settings import Settings
from shared.store import DirectoryStore

PROBLEM = "application/problem+json"
AT = "2026-01-01T00:00:00+00:00"
Plain = dict[str, Any]
Refused = Callable[..., AbstractContextManager[None]]


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Every file, folder and link under `folder`, with what it holds."""
    found: dict[str, bytes | str] = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        found[name] = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else "folder"
    return found


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """A block that must end in exactly this error, whose text holds these words, with nothing written anywhere.

    Everything of the test lies under its own folder: the store, the tables, the files that are given.
    """

    @contextmanager
    def refuse(error: type[SameSkyError], says: str) -> Iterator[None]:
        before = snapshot(tmp_path)
        with pytest.raises(SameSkyError) as caught:
            yield
        assert type(caught.value) is error, caught.value
        text = str(caught.value)
        assert says in text
        assert len(text) < 4000, "an error for people is short"
        assert text.isprintable(), "what was given is quoted, not let through"
        assert snapshot(tmp_path) == before

    return refuse


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """An empty object store."""
    made = DirectoryStore(tmp_path / "store")
    made.prepare()
    return made


@pytest.fixture
def job() -> Callable[..., EmbeddingSpec]:
    """Builds the specification of a job of four parts, of ten rows each."""

    def make(**changes: Any) -> EmbeddingSpec:
        dataset = {"name": "sky", "revision": "seed0", "source": "mocksky", "location": "0", "rows": 40}
        model = {
            "name": "fake-small",
            "family": "fake",
            "adapter": "fake",
            "checkpoint": "fake-small",
            "revision": "1",
            "pooling": "mean",
            "parameters": 1.0,
            "part_rows": 10,
        }
        return EmbeddingSpec(
            dataset=DatasetRef.model_validate({**dataset, **changes.pop("dataset", {})}),
            modality=Modality(
                name=changes.pop("modality", "hsc"), kind="image", column="x", recipe="arcsinh-image-v1", bands=("g",)
            ),
            model=ModelRef.model_validate({**model, **changes.pop("model", {})}),
        )

    return make


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one good table, of 24 objects with two images of one band each."""
    folder = tmp_path_factory.mktemp("tables") / "twin"
    folder.mkdir()
    random = np.random.default_rng(5)

    def images(band: str) -> list[dict[str, Any]]:
        fluxes = random.normal(size=(24, 1, 8, 8)).astype(np.float32)
        return [{"band": [band], "flux": flux.tolist(), "scale": [1.0]} for flux in fluxes]

    ids = pa.array([f"galaxy {row}" for row in range(24)])
    columns = {"object_id": ids, "near_image": images("near"), "far_image": images("far")}
    pq.write_table(pa.table(columns), folder / "train-00000-of-00001.parquet")
    return folder


def make_part(spec: EmbeddingSpec, index: int) -> Part:
    start, stop = spec.part_range(index)
    return Part(
        index=index,
        start=start,
        stop=stop,
        key=keys.part(spec, "one", index),
        rows=stop - start - 1,
        dimension=4,
        size=900,
        sha256="0" * 64,
        dropped={"empty-image": 1},
        seconds=1.5,
        worker="test:1",
    )


def make_manifest(spec: EmbeddingSpec) -> Manifest:
    parts = tuple(make_part(spec, index) for index in range(spec.parts()))
    return Manifest(spec=spec, rows=36, dimension=4, parts=parts, device="cpu", created_at=AT)


def make_score(left: EmbeddingSpec, right: EmbeddingSpec) -> ScoreRecord:
    spec = ScoreSpec(pair=PairSpec(left=left, right=right))
    result = MetricResult(
        metric="mknn",
        metric_version=1,
        k=10,
        value=0.5,
        chance=0.1,
        null_mean=0.1,
        null_std=0.01,
        p_value=0.001,
        interval=Interval(low=0.4, high=0.6, confidence=0.95),
        standard_error=0.01,
    )
    provenance = Provenance(
        left_manifest="1" * 64,
        right_manifest="2" * 64,
        packages={},
        seconds=0.1,
        threads=1,
        created_at=AT,
        worker="test:1",
    )
    return ScoreRecord(
        spec=spec,
        left_objects=40,
        right_objects=40,
        objects=40,
        results=(result,),
        per_object=keys.score_objects(spec),
        provenance=provenance,
    )


def make_study(left: EmbeddingSpec, right: EmbeddingSpec) -> Study:
    return Study(title="T", created_at=AT, embeddings=(left, right), pairs=((0, 1),), scoring=Scoring())


def make_failure(spec: EmbeddingSpec) -> Failure:
    return Failure(
        work=spec.digest, label=spec.label, code="missing-band", wrong="no band", attempts=1, worker="w:1", at=AT
    )


@pytest.fixture(scope="session")
def whole() -> dict[str, Contract]:
    """One good record of each contract, by its name."""
    base: Plain = {
        "dataset": {"name": "sky", "revision": "seed0", "source": "mocksky", "location": "0", "rows": 40},
        "modality": {"name": "hsc", "kind": "image", "column": "x", "recipe": "arcsinh-image-v1", "bands": ["g"]},
        "model": {
            "name": "fake-small",
            "family": "fake",
            "adapter": "fake",
            "checkpoint": "fake-small",
            "revision": "1",
            "pooling": "mean",
            "parameters": 1.0,
            "part_rows": 10,
        },
    }
    left = EmbeddingSpec.model_validate(base)
    right = EmbeddingSpec.model_validate({**base, "modality": {**base["modality"], "name": "jwst"}})
    records = (
        make_manifest(left),
        make_part(left, 0),
        make_score(left, right),
        make_study(left, right),
        make_failure(left),
    )
    return {type(record).__name__: record for record in records}


@pytest.fixture
def receipt() -> Callable[[EmbeddingSpec, int], Part]:
    """The maker of receipts."""
    return make_part


@pytest.fixture(scope="session")
def without_hub() -> Iterator[None]:
    """No request may go out to the hub: an id that passes the door is looked for in the local cache alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        yield


@pytest.fixture(scope="module")
def redis(redis_url: str) -> Iterator[Redis]:
    """An empty Redis."""
    client = Redis.from_url(redis_url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the store's files lie."""
    return tmp_path_factory.mktemp("http")


@pytest.fixture(scope="module")
def web(
    redis: Redis, redis_url: str, folder: Path, twin: Path, whole: dict[str, Any], without_hub: None
) -> FlaskClient:
    """Asks the api, whose store holds one embedding and one score."""
    roots = {
        "SAMESKY_REDIS_URL": redis_url,
        "SAMESKY_DATASET_ROOTS": str(twin.parent),
        "SAMESKY_WRITES_PER_MINUTE": "100000",
    }
    settings = Settings.read(roots)
    store = DirectoryStore(folder)
    store.prepare()
    studies = Studies(settings, store, Board.open(settings), Sender(make_app(settings)))
    store.put(keys.manifest(whole["Manifest"].spec), whole["Manifest"].to_json())
    store.put(keys.score(whole["ScoreRecord"].spec), whole["ScoreRecord"].to_json())
    return create_app(studies, Seeing.open(settings, studies), settings).test_client()


@pytest.fixture(scope="module")
def accepted(web: FlaskClient) -> str:
    """The id of a study that the api has accepted."""
    answer = web.post("/v1/studies", json={"datasets": ["mocksky"], "models": ["fake-small"]})
    assert answer.status_code == 202, answer.text
    return str(answer.json["id"])


@pytest.fixture
def nothing_written(accepted: str, redis: Redis, folder: Path) -> Iterator[None]:
    """Holds store and Redis to what they were before the test."""

    def state() -> tuple[Mapping[str, bytes], Mapping[str, bytes | None]]:
        files = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return files, {name.decode(): redis.dump(name) for name in redis.scan_iter()}

    before = state()
    yield
    assert state() == before


def check_problem(answer: TestResponse, status: int, says: str) -> Plain:
    """The problem, checked to be one for people."""
    assert (answer.status_code, answer.mimetype) == (status, PROBLEM), answer.text[:500]
    problem: Plain = json.loads(answer.data)
    assert problem["status"] == status
    assert says in answer.get_data(as_text=True).replace('\\"', '"'), answer.text[:1000]
    assert len(answer.data) < 20_000
    assert "Traceback" not in answer.text
    return problem


@pytest.fixture(scope="session")
def problem_of() -> Callable[[TestResponse, int, str], Plain]:
    """Checks that an answer is a problem of this status, with these words in it, and gives it."""
    return check_problem
