"""Every dataset of the catalogue, from a table with just the columns it is published with to what a model is shown."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as Pillow

from embedder.catalogue.datasets import find_dataset, known_datasets
from embedder.recipes import Dropped, Prepared, find_recipe
from embedder.resolve import resolve_dataset
from embedder.sources.kinds import open_source
from shared.errors import BadStudy, BadTable, CheckpointUnavailable, MissingColumn
from shared.requests import DatasetRequest
from shared.settings import Settings

ROWS = 12
HSC, JWST = ("hsc-g", "hsc-r", "hsc-i", "hsc-z", "hsc-y"), (
    "f090w", "f115w", "f150w", "f200w", "f277w", "f356w", "f444w",
)  # fmt: skip
LEGACY = ("des-g", "des-r", "des-i", "des-z")
Make = Callable[..., Any]


def encode(seed: int, side: int = 40, mode: str = "RGB", form: str = "PNG") -> dict[str, Any]:
    """One row of a column of pictures, as the `datasets` library keeps it."""
    random = np.random.default_rng(seed)
    shape = (side, side, 3) if mode == "RGB" else (side, side)
    picture = Pillow.fromarray(random.integers(0, 255, shape, np.uint8)).convert(mode)
    file = io.BytesIO()
    picture.save(file, form)
    return {"bytes": file.getvalue(), "path": None}


def columns_of(name: str, image: Make, image_type: pa.DataType, spectrum: Make, spectrum_type: pa.DataType) -> Any:
    """The columns of a published dataset, as science has them, for ROWS objects."""

    def images(bands: tuple[str, ...], side: int, scale: float) -> pa.Array:
        return pa.array([image(seed, bands, side, scale) for seed in range(ROWS)], image_type)

    def pictures() -> pa.Array:
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        return pa.array([encode(seed, form="JPEG" if seed % 2 else "PNG") for seed in range(ROWS)], kind)

    hsc = images(HSC, 40, 0.168)
    labels = {
        label: pa.array([-99.0, None, *np.linspace(0, 1, ROWS - 2)]) for label in find_dataset(name).labels
    }  # two of them unknown
    return {
        "jwst_hsc": {"hsc_image": hsc, "jwst_image": images(JWST, 32, 0.04)},
        "legacysurvey_hsc": {"hsc_image": hsc, "legacysurvey_image": images(LEGACY, 32, 0.262)},
        "desi_hsc": {"image": hsc, "spectrum": pa.array([spectrum(seed) for seed in range(ROWS)], spectrum_type)},
        "sdss_hsc": {"image": hsc},
        "galaxies": {"image": pictures(), "dr8_id": pa.array([f"1_{row}" for row in range(ROWS)]), **labels},
        "cosmosweb": {"hsc_images": pictures(), "jwst_images": pictures(), **labels},
    }[name]


ON_THE_HUB = [name for name, row in known_datasets().items() if row.source == "hub"]


@pytest.fixture
def publish(
    image: Make, image_type: pa.DataType, spectrum: Make, spectrum_type: pa.DataType
) -> Callable[[str, Path], Path]:
    """Writes a dataset, in two files, under its public id in a folder that stands in for the hub."""

    def write(name: str, hub: Path) -> Path:
        folder = hub / "datasets" / find_dataset(name).location / "data"
        folder.mkdir(parents=True)
        table = pa.table(columns_of(name, image, image_type, spectrum, spectrum_type))
        for part in range(2):
            half = table.slice(part * ROWS // 2, ROWS // 2)
            pq.write_table(half, folder / f"train-{part:05d}-of-00002.parquet", row_group_size=4)
        return folder

    return write


@pytest.mark.parametrize("name", ON_THE_HUB)
def test_a_published_table_is_read_whole_and_shown(
    name: str, publish: Callable[[str, Path], Path], settings: Settings, tmp_path: Path
) -> None:
    publish(name, tmp_path / "hub")
    row = find_dataset(name)
    dataset, modalities = resolve_dataset(DatasetRequest(name=name), settings, labels=bool(row.labels))
    assert dataset.rows == ROWS
    assert {modality.name for modality in modalities} == {one.name for one in row.modalities} | set(row.labels)
    source = open_source(dataset, settings)
    for modality in modalities:
        shown = [(sample, find_recipe(modality.recipe).prepare(sample.observation, modality))
                 for sample in source.read(modality, 0, ROWS)]  # fmt: skip
        ids = [f"1_{place}" if row.id_column else str(place) for place in range(ROWS)]
        assert [sample.object_id for sample, _ in shown] == ids
        if modality.kind == "label":
            assert [found for _, found in shown[:2]] == [Dropped("missing-label")] * 2
            shown = shown[2:]
        assert all(isinstance(found, Prepared) for _, found in shown)


def test_pictures_are_shown_as_they_are(settings: Settings, publish: Make, tmp_path: Path) -> None:
    publish("galaxies", tmp_path / "hub")
    dataset, (image,) = resolve_dataset(DatasetRequest(name="galaxies"), settings)
    (first, *_) = open_source(dataset, settings).read(image, 0, 2)
    found = find_recipe(image.recipe).prepare(first.observation, image)
    assert isinstance(found, Prepared)
    expected = Pillow.open(io.BytesIO(encode(0)["bytes"])).resize((224, 224), Pillow.Resampling.BILINEAR)
    assert (np.asarray(found.values) == np.asarray(expected)).all()


def own(folder: Path, **modality: Any) -> DatasetRequest:
    return DatasetRequest.model_validate({"name": "mine", "folder": str(folder), "modalities": {"seen": modality}})


def write_pictures(settings: Settings, rows: list[Any], kind: pa.DataType | None = None) -> Path:
    folder = settings.dataset_roots[0] / "pictures"
    folder.mkdir(parents=True)
    kind = kind or pa.struct({"bytes": pa.binary(), "path": pa.string()})
    pq.write_table(pa.table({"picture": pa.array(rows, kind)}), folder / "train.parquet")
    return folder


def cut_short(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "bytes": row["bytes"][:200]}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (None, "column picture is null"),
        ({"bytes": None, "path": "1.png"}, "a picture without bytes"),
        ({"bytes": b"", "path": None}, "a picture that cannot be read"),
        ({"bytes": b"<svg/>", "path": None}, "a picture that cannot be read"),
        (cut_short(encode(0)), "a picture that cannot be read"),
        (encode(0, mode="I;16"), "a picture of 40 x 40 pixels in mode I;16"),
        (encode(0, mode="RGBA"), "a picture of 40 x 40 pixels in mode RGBA"),
        (encode(0, form="GIF", mode="L"), "a picture that cannot be read"),
    ],
    ids=["null", "path", "empty", "svg", "cut", "16 bits", "alpha", "gif"],
)
def test_what_is_no_picture_is_refused_with_file_and_row(row: Any, words: str, settings: Settings) -> None:
    folder = write_pictures(settings, [encode(1), row, encode(2)])
    dataset, (seen,) = resolve_dataset(own(folder, column="picture"), settings)
    with pytest.raises(BadTable, match=rf"train\.parquet, row 1: {words}"):
        list(open_source(dataset, settings).read(seen, 0, 3))


def test_a_picture_of_one_shade_is_dropped_and_a_grey_one_is_grey(settings: Settings) -> None:
    flat = io.BytesIO()
    Pillow.new("L", (30, 20), 7).save(flat, "PNG")
    folder = write_pictures(settings, [{"bytes": flat.getvalue(), "path": None}, encode(1, mode="L")])
    dataset, (seen,) = resolve_dataset(own(folder, column="picture"), settings)
    first, second = (
        find_recipe(seen.recipe).prepare(sample.observation, seen)
        for sample in open_source(dataset, settings).read(seen, 0, 2)
    )
    assert first == Dropped("constant-image")
    assert isinstance(second, Prepared)
    colours = np.asarray(second.values)
    assert colours.shape == (224, 224, 3)
    assert (colours[..., 0] == colours[..., 2]).all()


def test_fluxes_without_bands_and_pictures_with_them_are_refused(
    settings: Settings, publish: Make, tmp_path: Path
) -> None:
    fluxes = publish("sdss_hsc", settings.dataset_roots[0])
    with pytest.raises(MissingColumn, match=r"has no field bytes.*name the bands of the modality"):
        resolve_dataset(own(fluxes, column="image"), settings)
    pictures = write_pictures(settings, [encode(1)])
    with pytest.raises(MissingColumn, match="has no field flux, band"):
        resolve_dataset(own(pictures, column="picture", bands=["r"]), settings)
    with pytest.raises(BadStudy, match="picture-v1 of modality seen with 1 bands"):
        resolve_dataset(own(pictures, column="picture", bands=["r"], recipe="picture-v1"), settings)
    with pytest.raises(BadStudy, match="arcsinh-image-v1 of modality seen with 0 bands"):
        resolve_dataset(own(pictures, column="picture", recipe="arcsinh-image-v1"), settings)


def test_two_catalogues_of_the_same_galaxies_are_words_and_numbers(settings: Settings) -> None:
    dataset, modalities = resolve_dataset(DatasetRequest(name="sdss_2mass", limit=200), settings, labels=True)
    source = open_source(dataset, settings)
    told = {modality.name: [find_recipe(modality.recipe).prepare(sample.observation, modality)
                            for sample in source.read(modality, 0, 200)] for modality in modalities}  # fmt: skip
    sdss, twomass, numbers, redshift = (told[name][0] for name in ("sdss", "2mass", "sdss-numbers", "redshift"))
    # By hand, from the table's first row: 22.5 - 2.5 log10(132.5678) - 0.14023 of r; 15.361, 14.291, 14.089 of J, H, K.
    assert isinstance(sdss, Prepared)
    assert "r magnitude 17.05 mag" in str(sdss.values)
    assert isinstance(twomass, Prepared)
    assert twomass.values == "J magnitude 15.36 mag, H magnitude 14.29 mag, K magnitude 14.09 mag."
    assert isinstance(numbers, Prepared)
    assert np.asarray(numbers.values)[2] == pytest.approx(17.0536 - 16.7, abs=1e-3)
    assert isinstance(redshift, Prepared)
    assert np.asarray(redshift.values)[0] == pytest.approx(0.0826587, abs=1e-6)


def test_a_magnitude_that_was_not_measured_is_not_a_number(settings: Settings) -> None:
    dataset, modalities = resolve_dataset(DatasetRequest(name="sdss_2mass"), settings)
    assert dataset.rows == 10_000
    sdss = next(modality for modality in modalities if modality.name == "sdss-numbers")
    shown = [find_recipe(sdss.recipe).prepare(sample.observation, sdss)
             for sample in open_source(dataset, settings).read(sdss, 0, dataset.rows)]  # fmt: skip
    assert shown.count(Dropped("unknown-number")) == 12  # u fluxes that are not positive


def test_what_a_wheel_does_not_have_is_refused(settings: Settings) -> None:
    with pytest.raises(BadStudy, match="at most 10000"):
        resolve_dataset(DatasetRequest(name="sdss_2mass", limit=10_001), settings)
    with pytest.raises(BadStudy, match=r"no revision 5\.1\.8"):
        resolve_dataset(DatasetRequest(name="sdss_2mass", revision="5.1.8"), settings)
    dataset, _ = resolve_dataset(DatasetRequest(name="sdss_2mass"), settings)
    with pytest.raises(CheckpointUnavailable, match=r"kcorrect 5\.1\.9 is installed; expected 5\.1\.8"):
        open_source(dataset.model_copy(update={"revision": "5.1.8"}), settings)


# All datasets at once through the hub's own client, in a process with a fresh cache.
_READ = """
import json, sys
from embedder.catalogue.datasets import find_dataset
from embedder.resolve import resolve_dataset
from embedder.sources.kinds import open_source
from shared.requests import DatasetRequest
from shared.settings import Settings
settings, said = Settings.read({}), {}
for name in sys.argv[1:]:
    first = tuple(find_dataset(name).labels)[:1]  # all were read from the folder
    dataset, modalities = resolve_dataset(DatasetRequest(name=name, labels=first), settings, labels=bool(first))
    source = open_source(dataset, settings)
    said[name] = [dataset.revision, dataset.rows, *(len(list(source.read(one, 5, 8))) for one in modalities)]
print(json.dumps(said))
"""


@pytest.fixture
def served(publish: Callable[[str, Path], Path], serve_hub: Callable[[], str], tmp_path: Path) -> str:
    """URL of a hub that serves every dataset under its public id."""
    for name in ON_THE_HUB:
        publish(name, tmp_path / "served")
    return serve_hub()


def test_every_dataset_is_read_under_its_public_id(served: str, tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "SAMESKY_"))}
    done = subprocess.run(
        [sys.executable, "-c", _READ, *ON_THE_HUB],
        env={
            **clean,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HF_ENDPOINT": served,
            "HF_HOME": str(tmp_path / "home"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    for name in ON_THE_HUB:
        row = find_dataset(name)
        commit, rows, *read = said[name]
        assert len(commit) == 40
        assert rows == ROWS
        assert read == [3] * (len(row.modalities) + bool(row.labels))
