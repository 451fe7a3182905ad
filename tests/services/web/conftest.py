"""The real api on a real Redis and a store in memory, with a small table to study and results written by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.serving import make_server

from services.api import create_app
from services.board import Board
from services.broker import Sender
from services.field_errors import validate
from services.seeing import Seeing
from services.studies import Studies
from shared import keys
from shared.contracts import EmbeddingSpec, ScoreSpec, Study
from shared.endings import add_ending
from shared.outcomes import Ending, Failure, Interval, Manifest, MetricResult, Part, Provenance, ScoreRecord
from shared.requests import StudyRequest
from shared.settings import Settings
from shared.states import State
from shared.store import MemoryStore

ROWS = 24
Body = dict[str, Any]


@pytest.fixture(scope="session")
def table_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one Parquet file: 24 objects with two images of one band."""
    folder = tmp_path_factory.mktemp("tables") / "twin"
    folder.mkdir()
    random = np.random.default_rng(5)

    def images(band: str) -> list[dict[str, Any]]:
        fluxes = random.normal(size=(ROWS, 1, 8, 8)).astype(np.float32)
        return [{"band": [band], "flux": flux.tolist(), "scale": [1.0]} for flux in fluxes]

    image = pa.struct(
        [
            ("band", pa.list_(pa.string())),
            ("flux", pa.list_(pa.list_(pa.list_(pa.float32())))),
            ("scale", pa.list_(pa.float32())),
        ]
    )
    columns = {
        "object_id": pa.array([f"galaxy {i}" for i in range(ROWS)]),
        "near_image": pa.array(images("near"), image),
        "far_image": pa.array(images("far"), image),
    }
    pq.write_table(pa.table(columns), folder / "train-00000-of-00001.parquet")
    return folder


@pytest.fixture
def body(table_folder: Path) -> Callable[..., Body]:
    """Builds the body of a study of the small table; `title` and `limit` vary it."""

    def make(limit: int | None = None, title: str = "Twins", models: tuple[str, ...] = ("fake-small",)) -> Body:
        modalities = {name: {"column": f"{name}_image", "bands": [name]} for name in ("near", "far")}
        dataset = {"name": "twin", "folder": str(table_folder), "id_column": "object_id", "modalities": modalities}
        return {
            "title": title,
            "datasets": [dataset if limit is None else {**dataset, "limit": limit}],
            "models": list(models),
            "pairs": ["crossmodal", "intramodal"],
        }

    return make


@pytest.fixture
def known(redis_url: str, table_folder: Path, store: MemoryStore, board: Board, sender: Sender) -> Studies:
    """Studies that may read the small table."""
    roots = {"SAMESKY_REDIS_URL": redis_url, "SAMESKY_DATASET_ROOTS": str(table_folder.parent)}
    return Studies(Settings.read(roots), store, board, sender)


@pytest.fixture
def seeing(known: Studies, store: MemoryStore, redis: Redis) -> Seeing:
    """What the api sees of the installation."""
    return Seeing(known, store, redis)


@pytest.fixture
def app(known: Studies, seeing: Seeing) -> Flask:
    """The api, without tokens."""
    return create_app(known, seeing, Settings.read({}))


@pytest.fixture
def web(app: Flask) -> FlaskClient:
    """Asks the api in this process."""
    return app.test_client()


@pytest.fixture
def api_url(app: Flask) -> Iterator[str]:
    """The api on a real socket."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def accept(known: Studies, body: Callable[..., Body]) -> Callable[..., Study]:
    """Accepts a study of the small table."""
    return lambda **changes: known.accept(validate(StudyRequest, body(**changes)))[0]


@pytest.fixture
def finish(store: MemoryStore) -> Callable[[Study], None]:
    """Writes what the workers would: the manifest of every job, the score of every pair."""

    def write(study: Study) -> None:
        for spec in study.embeddings:
            store.put(keys.manifest(spec), _manifest(spec).to_json())
        for place, score in enumerate(study.scores()):
            store.put(keys.score(score), _record(score, place).to_json())

    return write


@pytest.fixture
def fail(store: MemoryStore) -> Callable[[Study], None]:
    """Writes the failure of a study's first job."""

    def write(study: Study) -> None:
        spec = study.embeddings[0]
        failure = Failure(
            work=spec.digest,
            label=spec.label,
            code="missing-band",
            wrong="no band 'near' in row 3",
            remedy="name a band that is there",
            attempts=1,
            worker="test:1",
            at="2026-01-01T00:00:00+00:00",
        )
        ending = Ending(
            subject=spec.digest, label=spec.label, state=State.FAILED, at=failure.at, worker="test:1", failure=failure
        )
        add_ending(store, keys.work_endings(spec.dataset.name), ending)
        time.sleep(1.1)  # the api may know of it a second later

    return write


def _manifest(spec: EmbeddingSpec) -> Manifest:
    part = Part(
        index=0,
        start=0,
        stop=spec.dataset.rows,
        key=keys.part(spec, "attempt", 0),
        rows=spec.dataset.rows,
        dimension=4,
        size=100,
        sha256="0" * 64,
        seconds=1.0,
        worker="test:1",
    )
    return Manifest(
        spec=spec,
        rows=spec.dataset.rows,
        dimension=4,
        parts=(part,),
        device="cpu",
        created_at="2026-01-01T00:00:00+00:00",
    )


def _record(spec: ScoreSpec, place: int) -> ScoreRecord:
    rows = spec.pair.left.dataset.rows
    value = 0.5 + place / 100
    result = MetricResult(
        metric="mknn",
        metric_version=1,
        k=10,
        value=value,
        chance=10 / (rows - 1),
        null_mean=0.43,
        null_std=0.01,
        p_value=1 / 1001,
        interval=Interval(low=value - 0.01, high=value + 0.01, confidence=0.95),
        standard_error=0.005,
    )
    return ScoreRecord(
        spec=spec,
        left_objects=rows,
        right_objects=rows,
        objects=rows,
        results=(result,),
        per_object=keys.score_objects(spec),
        provenance=Provenance(
            left_manifest="1" * 64,
            right_manifest="2" * 64,
            packages={"numpy": np.__version__},
            seconds=0.1,
            threads=1,
            created_at="2026-01-01T00:00:00+00:00",
            worker="test:1",
        ),
    )
