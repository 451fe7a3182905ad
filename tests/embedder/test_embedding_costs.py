"""What the catalogue says of costs, against the models that are at hand and against arithmetic; bytes against files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedder.adapters.loading import load_adapter
from embedder.catalogue.models import find_model, listed_models
from embedder.costs import bytes_of_vectors, dimension_of, work_of
from embedder.resolve import resolve_model
from embedder.sources.sizes import bytes_of_rows
from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef
from shared.modalities import CatalogueColumn, Kind, Modality
from shared.settings import Settings
from shared.vectors import Vectors, write_part

SETTINGS = Settings.read({"SAMESKY_THREADS": "1"})
SKY = DatasetRef(name="sky", revision="r1", source="mocksky", location="0", rows=100)
IMAGE = Modality(name="hsc", kind="image", column="hsc", recipe="arcsinh-image-v1", bands=("g",))


def spec_of(model: ModelRef, modality: Modality = IMAGE) -> EmbeddingSpec:
    return EmbeddingSpec(dataset=SKY, modality=modality, model=model)


def stranger(parameters: float, takes: Kind = "image") -> ModelRef:
    """A model that no catalogue knows."""
    return ModelRef(
        name="stranger", family="stranger", adapter="stranger", checkpoint="x", revision="1", pooling="mean",
        takes=takes, parameters=parameters,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-lite2", "fake-small", "fake-large"])
def test_the_catalogue_knows_how_long_vectors_are(name: str) -> None:
    row = find_model(name)
    adapter = load_adapter(resolve_model(row, SETTINGS), SETTINGS)
    prepared = adapter.prepare(np.zeros((96, 96, 3), np.uint8) + np.arange(3, dtype=np.uint8))
    assert not hasattr(prepared, "reason")
    (vectors,) = adapter.encode([prepared], ["final"])  # type: ignore[list-item]
    assert dimension_of(spec_of(resolve_model(row, SETTINGS))) == vectors.shape[1]


def test_the_catalogue_knows_how_many_operations_a_pass_takes() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    row = find_model("efficientnet-lite0")
    adapter = load_adapter(resolve_model(row, SETTINGS), SETTINGS)
    prepared = adapter.prepare(np.zeros((96, 96, 3), np.uint8))
    with FlopCounterMode(display=False) as counted:
        adapter.encode([prepared], ["final"])  # type: ignore[list-item]
    assert row.gflop == pytest.approx(counted.get_total_flops() / 1e9, rel=0.01)


PLAIN = ("vit", "dinov2", "ijepa", "vit-mae", "clip")  # blocks of 12 d^2 parameters each, and little beside


@pytest.mark.parametrize("row", [row for row in listed_models() if row.family in PLAIN], ids=lambda row: row.name)
def test_widths_parameters_and_operations_of_transformers_fit(row: object) -> None:
    assert hasattr(row, "blocks")
    width = {"clip-base": 768, "clip-large": 1024}.get(row.name, row.dimension)  # a clip vector is projected
    assert 12 * row.blocks * width**2 / 1e6 == pytest.approx(row.parameters, rel=0.12)
    patches = row.gflop * 1e9 / (2e6 * row.parameters)  # and a tenth more for attention
    assert 196 <= patches <= 300


def test_a_model_of_which_nothing_is_known_is_guessed_from_its_parameters() -> None:
    for row in listed_models():
        if row.family == "vit":
            assert dimension_of(spec_of(stranger(row.parameters))) == pytest.approx(row.dimension, rel=0.34)
            assert work_of(spec_of(stranger(row.parameters))).gflop == pytest.approx(row.gflop, rel=0.34)


def test_what_is_given_computes_nothing() -> None:
    numbers = Modality(
        name="n", kind="numbers", columns=(CatalogueColumn(name="a"), CatalogueColumn(name="b")), recipe="numbers-v1"
    )
    vector = Modality(name="v", kind="vector", column="v", recipe="vector-v1", dimension=512)
    label = Modality(name="z", kind="label", column="z", recipe="label-v1")
    for modality, dimension in ((numbers, 2), (vector, 512), (label, 1)):
        spec = spec_of(stranger(0, modality.kind), modality)
        assert (dimension_of(spec), work_of(spec).gflop) == (dimension, 0)


@pytest.mark.parametrize(("rows", "dimension"), [(300, 384), (2000, 1280)])
def test_vectors_take_as_many_bytes_as_are_said(rows: int, dimension: int) -> None:
    matrix = np.random.default_rng(1).standard_normal((rows, dimension)).astype(np.float32)
    stored = len(write_part(Vectors(tuple(f"{row:020d}" for row in range(rows)), matrix)))
    assert bytes_of_vectors(rows, dimension, 0) == pytest.approx(stored, rel=0.15)


def test_bytes_of_a_source_are_those_of_the_columns_a_pass_reads(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    fluxes = rng.standard_normal((40, 1, 16, 16)).astype(np.float32)
    images = [{"band": ["g"], "flux": flux.tolist(), "ivar": flux.tolist()} for flux in fluxes]
    cube = pa.list_(pa.list_(pa.list_(pa.float32())))
    kind = pa.struct([("band", pa.list_(pa.string())), ("flux", cube), ("ivar", cube)])
    columns = {
        "object_id": pa.array(map(str, range(40))),
        "hsc": pa.array(images, kind),
        "hsc2": pa.array(images, kind),
    }
    for name in ("a", "b"):
        pq.write_table(pa.table(columns), tmp_path / f"train-{name}.parquet", row_group_size=16)
    from embedder.contents import hash_folder

    found = DatasetRef(
        name="own", revision=hash_folder(tmp_path), source="parquet", location=str(tmp_path), id_column="object_id",
        rows=60,
    )  # fmt: skip
    modality = IMAGE.model_copy(update={"scale_arcsec": 1.0})
    footer = pq.read_metadata(tmp_path / "train-a.parquet")
    wanted = ("object_id", "hsc.band.list.element", "hsc.flux.list.element.list.element.list.element")
    size = 0
    for group in range(footer.num_row_groups):
        for place in range(footer.num_columns):
            column = footer.row_group(group).column(place)
            size += column.total_compressed_size if column.path_in_schema in wanted else 0
    assert bytes_of_rows(found, [modality], SETTINGS) == {modality.digest: round(60 * size / 40)}
    assert bytes_of_rows(SKY, [modality], SETTINGS) == {}, "a simulation is no file"
