"""Columns of published vectors: recognised by the catalogue and never taken apart, and pinned as embeddings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as tuned
from hypothesis import strategies as some

from embedder.adapters.given import AS_PUBLISHED
from embedder.adapters.loading import load_adapter
from embedder.catalogue import models
from embedder.catalogue.models import find_model, known_models
from embedder.catalogue.published import Meaning, find_near, fold, known_modalities, name_column, recognise
from embedder.catalogue.rows import Family, ModelRow, Size
from embedder.contents import hash_folder
from embedder.published import describe_columns, resolve_published
from embedder.recipes import Prepared, find_recipe
from embedder.resolve import resolve_dataset, resolve_model
from embedder.samples import Vector
from embedder.sources.kinds import open_source
from shared.contracts import EmbeddingSpec, PairSpec
from shared.errors import BadTable, CheckpointUnavailable, DuplicateObjectIds, MissingColumn, UnknownName
from shared.planning import choose_pairs
from shared.published import ColumnsRequest
from shared.requests import DatasetRequest
from shared.settings import Settings

ROWS = 12
# Of UniverseTBD/sdss_hsc_embeddings at 10b6741: every family.
PUBLIC = {
    "astropt_15m_hsc": "astropt-015m",
    "astropt_95m_hsc": "astropt-095m",
    "astropt_850m_hsc": "astropt-850m",
    "convnext_nano_hsc": "convnextv2-nano",
    "convnext_large_hsc": "convnextv2-large",
    "dino_small_hsc": "dinov2-small",
    "dino_giant_hsc": "dinov2-giant",
    "ijepa_huge_hsc": "ijepa-huge",
    "vit_base_hsc": "vit-base",
    "vit_huge_hsc": "vit-huge",
    "specformer_base_sdss": "specformer-base",
}
# As the code of arXiv 2509.19453 calls them: alias, size, modality.
BY_THE_CODE = {
    "vjepa_giant_hsc": "vjepa2-giant",
    "vit-mae_base_hsc": "vit-mae-base",
    "hiera_base-plus_hsc": "hiera-base-plus",
    "dinov3_vits16plus_hsc": "dinov3-vits16plus",
    "clip_large_hsc": "clip-large",
    "paligemma_28b_hsc": "paligemma2-28b",
    "llava_15_7b_hsc": "llava-1.5-7b",
    "llava_15_13b_hsc": "llava-1.5-13b",
    "llava_ov_7b_hsc": "llava-onevision-7b",
}
TOLD = {"model": "dinov2-small", "modality": "hsc"}
Columns = dict[str, Any]


def lists(*shape: int, seed: int = 0, kind: Any = None) -> pa.Array:
    drawn = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return pa.array(drawn.tolist(), kind or pa.list_(pa.float32()))


def write(path: Path, columns: Columns, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)
    return path


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes a table of vectors as one file of a folder that may be read; returns the file."""
    return lambda columns, **options: write(tmp_path / "roots" / "vectors" / "train.parquet", columns, **options)


def ask(place: Path, embeddings: Any = "all", **given: Any) -> DatasetRequest:
    return DatasetRequest.model_validate({"name": "sky", "folder": str(place), "embeddings": embeddings, **given})


def specify(request: DatasetRequest, settings: Settings) -> tuple[EmbeddingSpec, ...]:
    return resolve_published(request, resolve_dataset(request, settings)[0], settings)


def test_the_columns_of_the_field_are_known() -> None:
    named = {**PUBLIC, **BY_THE_CODE}
    found = recognise([*named, "vit_base_jwst", "ra"], known_modalities("jwst_hsc"))
    wanted = {column: Meaning(model, column[-4:].strip("_")) for column, model in named.items()}
    assert [name_column(find_model(model), "hsc") for model in BY_THE_CODE.values()] == [*map(fold, BY_THE_CODE)]
    assert found.known == {**wanted, "vit_base_jwst": Meaning("vit-base", "jwst")}
    assert list(found.unknown) == ["ra"]


@pytest.fixture
def with_rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Adds rows to the table of models, for one test."""

    def add(*rows: ModelRow) -> None:
        monkeypatch.setattr(models, "_ROWS", (*models._ROWS, *rows))
        known_models.cache_clear()

    yield add
    monkeypatch.undo()
    known_models.cache_clear()


def family(name: str, *sizes: Size, **fields: Any) -> tuple[ModelRow, ...]:
    plain = {"title": "{size}", "adapter": "fake", "pooling": "mean", "licence": "MIT"}
    return Family(name=name, **{**plain, **fields}).rows(*sizes)


def test_a_name_is_never_taken_apart(with_rows: Callable[..., None]) -> None:
    """`llava_15_7b_hsc` is neither the model `llava` of size `15` nor of a modality `7b_hsc`."""
    llava = family("lava", Size("1.5-7b", "a/b", 7e3, 32, published_as="15_7b"), Size("15", "a/c", 1, 32))
    astronomers = family("astro", Size("015m", "a/d", 15, 32, published_as="15m"))
    with_rows(*llava, *astronomers)
    modalities = known_modalities("sky", ["7b_hsc", "deep_field"])
    wanted = {
        "lava_15_7b_jwst": Meaning("lava-1.5-7b", "jwst"),
        "lava_1.5-7b_jwst": Meaning("lava-1.5-7b", "jwst"),
        "lava_15_jwst": Meaning("lava-15", "jwst"),
        "lava_15_deep_field": Meaning("lava-15", "deep_field"),
        "astro_15m_hsc": Meaning("astro-015m", "hsc"),
        "ASTRO_015M_HSC": Meaning("astro-015m", "hsc"),
        "vit_base_jwst_block_03": Meaning("vit-base", "jwst", "block-03"),
    }
    for column, meaning in wanted.items():
        assert recognise([column], modalities).known == {column: meaning}
    with pytest.raises(BadTable, match=r"'lava_15_7b_hsc' may be lava-1\.5-7b of hsc or lava-15 of 7b_hsc"):
        recognise(["lava_15_7b_hsc"], modalities)
    assert recognise(["lava_15_7b_hsc"], known_modalities("sky")).known == {
        "lava_15_7b_hsc": Meaning("lava-1.5-7b", "hsc")
    }
    assert name_column(llava[0], "hsc") == "lava_15_7b_hsc"


def test_an_image_model_is_not_taken_to_have_seen_spectra(with_rows: Callable[..., None]) -> None:
    """The code of arXiv 2509.19453 copies Specformer's vectors into a column of every image model."""
    with_rows(*family("lines", Size("base", "a/b", 43, 64), takes="spectrum"))
    found = recognise(["vit_base_sdss", "vit_base_desi", "lines_base_sdss", "lines_base_hsc"], known_modalities("sky"))
    assert found.known == {"lines_base_sdss": Meaning("lines-base", "sdss")}
    assert found.unknown["vit_base_desi"] == "vit-base takes image data, and desi is spectrum data"


def test_sisters_of_one_family_and_size_are_told_apart_by_what_they_take(with_rows: Callable[..., None]) -> None:
    with_rows(
        *family("two", Size("base", "a/b", 1, 64)),
        *family("two", Size("base", "a/b", 1, 64), prefix="two-lines", takes="spectrum"),
    )
    found = recognise(["two_base_hsc", "two_base_desi"], known_modalities("sky"))
    assert [name_column(find_model(name), "own") for name in ("two-base", "two-lines-base")] == [
        "two_base_own",
        "two_lines_base_own",
    ]
    assert found.known == {
        "two_base_hsc": Meaning("two-base", "hsc"),
        "two_base_desi": Meaning("two-lines-base", "desi"),
    }


def test_what_is_exported_is_recognised() -> None:
    made = {
        name_column(row, "own-sky", layer): Meaning(row.name, "own-sky", layer)
        for row in known_models().values()
        for layer in row.layers
        if row.listed
    }
    assert len(made) > 500
    assert [*map(fold, made)] == [*made]
    mixed = known_modalities("sky", ["own-sky"])
    assert recognise([*made], {"own-sky": mixed["own-sky"]}).known == made


SIGHTS = known_modalities("sky")
WHOLE = {
    f"{spelling}_{modality}{tail}".lower().replace("-", "_").replace(".", "_")
    for row in known_models().values()
    for spelling in row.spellings
    for modality in SIGHTS
    for tail in ("", *(f"_{layer}" for layer in row.layers))
}
PIECES = sorted({piece for name in WHOLE for piece in name.split("_")})


@tuned(max_examples=20, deadline=None, derandomize=True, database=None)
@given(
    some.lists(some.lists(some.sampled_from(PIECES), min_size=1, max_size=5).map("_".join) | some.text(), max_size=40)
)
def test_only_whole_names_are_recognised(names: list[str]) -> None:
    columns = list(dict.fromkeys(fold(name) for name in names))
    assert not recognise([column for column in columns if column not in WHOLE], SIGHTS).known


def test_near_names_are_offered() -> None:
    near = find_near(["dino_smal_hsc", "x" * 10_000], known_modalities("sky"))
    assert near["dino_smal_hsc"][0] == "dino_small_hsc"
    assert near["x" * 10_000] == []


def test_a_table_becomes_embeddings(save: Callable[..., Path], settings: Settings) -> None:
    file = save({"vit_base_hsc": lists(ROWS, 8), "z": pa.array(range(ROWS)), "dino_small_jwst": lists(ROWS, 3)})
    vit, dino = specify(ask(file.parent), settings)
    assert (vit.modality.kind, vit.modality.recipe, vit.modality.dimension) == ("vector", "vector-v1", 8)
    assert (vit.modality.name, vit.modality.made_of, vit.modality.seen) == ("hsc", "image", "image")
    assert (vit.model.adapter, vit.model.revision, vit.model.pooling) == ("published", AS_PUBLISHED, AS_PUBLISHED)
    assert (vit.model.parameters, vit.model.family) == (86, "vit")
    assert vit.label == "sky/hsc/vit-base as published"
    assert vit.dataset.revision == hash_folder(file.parent) == hash_folder(file)
    assert dino.dataset == vit.dataset
    samples = list(open_source(vit.dataset, settings).read(vit.modality, 3, 5))
    assert [sample.object_id for sample in samples] == ["3", "4"]


def test_the_public_table_is_read_under_its_id(tmp_path: Path, settings: Settings) -> None:
    public = "UniverseTBD/sdss_hsc_embeddings"
    specformer = {"specformer_base_sdss": lists(ROWS, 3, kind=pa.list_(pa.float64(), 3))}
    columns = {
        name: lists(ROWS, 2 + place, kind=pa.list_(pa.float32(), 2 + place)) for place, name in enumerate(PUBLIC)
    }
    write(tmp_path / "hub" / "datasets" / public / "data" / "train-00000-of-00001.parquet", {**columns, **specformer})
    request = DatasetRequest.model_validate({"name": "sdss_hsc", "hub": public, "embeddings": "all"})
    specs = specify(request, settings)
    assert [spec.model.name for spec in specs] == list(PUBLIC.values())
    assert (specs[0].dataset.source, specs[0].dataset.location, specs[0].dataset.rows) == ("hub", public, ROWS)
    pairs = choose_pairs(specs, ["crosskind", "intramodal", "crossmodal"])
    kinds = Counter(PairSpec(left=specs[a], right=specs[b]).kind for a, b in pairs)
    assert kinds == {"crosskind": 10, "intramodal": 5}  # each image model with Specformer; steps of size


def test_one_file_is_as_the_folder_that_holds_it_alone(save: Callable[..., Path], settings: Settings) -> None:
    file = save({"vit_base_hsc": lists(ROWS, 8), "vit_base_jwst": lists(ROWS, 8)})
    assert [one.digest for one in specify(ask(file), settings)] == [
        one.digest for one in specify(ask(file.parent), settings)
    ]
    with pytest.raises(UnknownName, match=r"there is no split of .* 'test'"):
        specify(ask(file, split="test"), settings)


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32()),
        pa.list_(pa.float32(), 5),
        pa.large_list(pa.float32()),
        pa.list_(pa.float64()),
        pa.list_(pa.float16()),
    ],
    ids=str,
)
def test_every_kind_of_list_is_read_by_range(kind: pa.DataType, save: Callable[..., Path], settings: Settings) -> None:
    exact = np.random.default_rng(1).integers(-9, 9, (ROWS, 5)).astype(np.float32) + np.float32(0.5)
    made = [row.astype(np.float16) if kind.value_type == pa.float16() else row.tolist() for row in exact]
    file = save({"vit_base_hsc": pa.array(made, kind), "id": pa.array(range(100, 100 + ROWS))}, row_group_size=5)
    (spec,) = specify(ask(file, id_column="id"), settings)
    read = list(open_source(spec.dataset, settings).read(spec.modality, 3, 11))
    assert [sample.object_id for sample in read] == [str(100 + row) for row in range(3, 11)]
    vectors = [sample.observation for sample in read]
    assert all(isinstance(one, Vector) and one.values.dtype == np.float32 and not one.rounded for one in vectors)
    assert np.array_equal([one.values for one in vectors if isinstance(one, Vector)], exact[3:11])


def test_what_single_precision_rounds_is_counted(save: Callable[..., Path], settings: Settings) -> None:
    rows = [[0.5, 1.0], [0.1, 1.0], [1e-60, 1.0]]
    (spec,) = specify(ask(save({"vit_base_hsc": pa.array(rows, pa.list_(pa.float64()))})), settings)
    recipe = find_recipe(spec.modality.recipe)
    shown = [
        recipe.prepare(one.observation, spec.modality)
        for one in open_source(spec.dataset, settings).read(spec.modality, 0, 3)
    ]
    assert [one.repaired for one in shown if isinstance(one, Prepared)] == [
        {},
        {"rounded-vectors": 1},
        {"rounded-vectors": 1},
    ]


def test_columns_may_be_told(save: Callable[..., Path], settings: Settings) -> None:
    columns = {"vit_base_hsc": lists(ROWS, 8), "embedding": lists(ROWS, 3), "vit_large_hsc": lists(ROWS, 9)}
    file = save(columns)
    specs = specify(ask(file, {"embedding": TOLD, "vit_base_hsc": {"model": "vit-base", "modality": "own"}}), settings)
    assert [(one.modality.column, one.model.name, one.modality.name) for one in specs] == [
        ("vit_base_hsc", "vit-base", "own"),
        ("embedding", "dinov2-small", "hsc"),
    ]
    by_name, all_told = (
        specify(ask(file, embeddings), settings)
        for embeddings in (
            "all",
            {name: {"model": name[:-4].replace("_", "-"), "modality": "hsc"} for name in columns if "_" in name},
        )
    )
    assert by_name == all_told
    with pytest.raises(MissingColumn, match="has no column other"):
        specify(ask(file, {"other": TOLD}), settings)
    with pytest.raises(UnknownName, match="did you mean dinov2-small"):
        specify(ask(file, {"embedding": {**TOLD, "model": "dinov2-smal"}}), settings)
    with pytest.raises(UnknownName, match="no layer of dinov2-small 'block-12'"):
        specify(ask(file, {"embedding": {**TOLD, "layer": "block-12"}}), settings)


def test_columns_are_described(save: Callable[..., Path], settings: Settings) -> None:
    file = save(
        {
            "vit_base_hsc": lists(ROWS, 8, kind=pa.list_(pa.float64())),
            "dino_smal_hsc": lists(ROWS, 3),
            "embedding": lists(ROWS, 4),
            "object_id": pa.array([f"g{row}" for row in range(ROWS)]),
            "z": pa.array(range(ROWS)),
        }
    )
    request = ask(file, id_column="object_id")
    dataset = resolve_dataset(request, settings)[0]
    told = ColumnsRequest.model_validate(
        {"dataset": request, "told": {"embedding": {"model": "vit-base", "modality": "x"}}}
    )
    found = describe_columns(told, dataset, settings)
    assert [(one.column, one.modality, one.dimension, one.type) for one in found.embeddings] == [
        ("vit_base_hsc", "hsc", 8, "double"),
        ("embedding", "x", 4, "float"),
    ]
    assert [(one.column, one.why) for one in found.others] == [
        (
            "dino_smal_hsc",
            "the catalogue gives no such name; near ones are dino_small_hsc, dinov2_small_hsc, dino_small_sdss",
        ),
        ("z", "no vectors"),
    ]
    assert (found.rows, found.id_column, found.revision) == (ROWS, "object_id", dataset.revision)


def test_images_and_vectors_of_one_table_are_one_dataset(
    write_table: Callable[..., Path], image: Callable[..., dict[str, Any]], settings: Settings
) -> None:
    """So what is computed here can be held against what was published of the same objects."""
    folder = write_table([image(seed) for seed in range(4)], extra={"vit_base_hsc": lists(4, 6)})
    modalities = {"hsc": {"column": "hsc_image", "bands": ["hsc-g", "hsc-r", "hsc-z"]}}
    request = ask(folder, id_column="object_id", modalities=modalities)
    dataset, own = resolve_dataset(request, settings)
    (published,) = resolve_published(request, dataset, settings)
    assert [one.name for one in own] == ["hsc"]
    assert published.dataset == dataset


def test_computed_and_published_make_no_ladder_together(
    write_table: Callable[..., Path], image: Callable[..., dict[str, Any]], settings: Settings
) -> None:
    folder = write_table(
        [image(seed) for seed in range(4)], extra={"fake_small_hsc": lists(4, 6), "fake_large_hsc": lists(4, 6)}
    )
    modalities = {"hsc": {"column": "hsc_image", "bands": ["hsc-g", "hsc-r", "hsc-z"]}}
    request = ask(folder, id_column="object_id", modalities=modalities)
    dataset, own = resolve_dataset(request, settings)
    computed = [
        EmbeddingSpec(dataset=dataset, modality=own[0], model=resolve_model(find_model(name), settings))
        for name in ("fake-small", "fake-large")
    ]
    every = [*computed, *resolve_published(request, dataset, settings)]
    assert choose_pairs(every, ["intramodal", "crossmodal", "crosskind"]) == [(0, 1), (2, 3)]
    assert len(choose_pairs(every, ["all"])) == 6
    twins = PairSpec(left=every[0], right=every[2])
    assert (twins.kind, twins.label) == ("other", "sky/hsc/fake-small|sky/hsc/fake-small as published")


def test_repeated_ids_are_refused(save: Callable[..., Path], settings: Settings) -> None:
    file = save({"vit_base_hsc": lists(3, 4), "id": pa.array([1, 2, 1])})
    with pytest.raises(DuplicateObjectIds, match=r"object id '1' stands in train\.parquet, row 0"):
        specify(ask(file, id_column="id"), settings)


def test_a_commit_is_not_made_up(save: Callable[..., Path], settings: Settings) -> None:
    (spec,) = specify(ask(save({"vit_base_hsc": lists(3, 4)})), settings)
    with pytest.raises(CheckpointUnavailable, match="as-published"):
        load_adapter(spec.model.model_copy(update={"revision": "1"}), settings)
    adapter = load_adapter(spec.model, settings)
    vectors = [np.float32([1, 2]), np.float32([3, 4])]
    (encoded,) = adapter.encode(vectors, ["block-03"])
    assert np.array_equal(encoded, vectors)
