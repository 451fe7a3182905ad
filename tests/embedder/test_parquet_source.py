"""Reading Parquet tables by row range: what comes out, what is read for it, and what is said of bad values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from embedder.samples import Image, Spectrum
from embedder.sources.parquet import ParquetSource
from embedder.sources.splits import TableFiles, find_folder_files
from shared.errors import BadTable, EmptyDataset, MissingBand, MissingColumn, UnknownName
from shared.modalities import Modality

DESI = Modality(name="desi", kind="spectrum", column="spectrum", recipe="spectrum-v1")


def open_folder(folder: Path, id_column: str | None = None) -> ParquetSource:
    return ParquetSource(find_folder_files(folder, "train"), id_column)


def first_image(table: ParquetSource, modality: Modality, row: int = 0) -> Image:
    observation = next(table.read(modality, row, row + 1)).observation
    assert isinstance(observation, Image)
    return observation


def one_image_table(path: Path, flux: pa.Array, bands: Sequence[str] = ("hsc-g", "hsc-r", "hsc-z")) -> ParquetSource:
    rows = len(flux)
    band = pa.array([list(bands)] * rows, pa.list_(pa.string()))
    path.mkdir()
    pq.write_table(
        pa.table({"hsc_image": pa.StructArray.from_arrays([band, flux], ["band", "flux"])}),
        path / "train-00000-of-00001.parquet",
    )
    return open_folder(path)


@pytest.mark.parametrize("files", [1, 3])
def test_any_row_range_is_the_same_rows(
    write_table: Callable[..., Path], image: Callable[..., Any], hsc: Modality, files: int
) -> None:
    rows = [image(seed) for seed in range(23)]
    table = open_folder(write_table(rows, files=files), "object_id")
    assert table.rows == 23
    for start, stop in ((0, 23), (0, 1), (4, 6), (5, 10), (7, 23), (22, 23), (20, 40), (3, 3)):
        samples = list(table.read(hsc, start, stop))
        wanted = range(start, min(stop, 23))
        assert [sample.row for sample in samples] == list(wanted)
        assert [sample.object_id for sample in samples] == [f"g{row}" for row in wanted]
        for sample in samples:
            assert isinstance(sample.observation, Image)
            assert sample.observation.flux.dtype == np.float32
            assert (sample.observation.flux == np.asarray(rows[sample.row]["flux"], np.float32)).all()
            assert sample.observation.scale == pytest.approx(0.168)


def test_without_an_id_column_the_position_in_the_split_is_the_id(
    write_table: Callable[..., Path], image: Callable[..., Any], hsc: Modality
) -> None:
    table = open_folder(write_table([image(seed) for seed in range(9)], files=2))
    assert [sample.object_id for sample in table.read(hsc, 3, 7)] == ["3", "4", "5", "6"]


class CountingFiles(LocalFileSystem):  # type: ignore[misc]
    """The local file system, which counts the bytes it hands out."""

    cachable = False
    read = 0

    def open(self, path: str, mode: str = "rb", **given: Any) -> Any:
        handle, plain = super().open(path, mode, **given), self
        inner = handle.read

        class Counted:
            closed = False

            def __getattr__(self, name: str) -> Any:
                return getattr(handle, name)

            def __enter__(self) -> Counted:
                return self

            def __exit__(self, *_: object) -> None:
                handle.close()

            def read(self, size: int = -1) -> bytes:
                data: bytes = inner(size)
                plain.read += len(data)
                return data

        return Counted()


def test_neither_earlier_row_groups_nor_other_columns_are_read(
    write_table: Callable[..., Path], image: Callable[..., Any], hsc: Modality
) -> None:
    rows = [image(seed) for seed in range(40)]
    folder = write_table(rows, jwst=rows)
    path = folder / "train-00000-of-00001.parquet"
    counting = CountingFiles()
    table = ParquetSource(TableFiles((str(path),), counting), "object_id")
    assert table.rows == 40
    counting.read = 0
    assert len(list(table.read(hsc, 35, 40))) == 5
    footer = pq.read_metadata(path)
    group = footer.row_group(7)
    chunks = [group.column(index) for index in range(group.num_columns)]
    wanted = ("hsc_image.flux", "hsc_image.band", "hsc_image.scale", "object_id")
    needed = sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema.startswith(wanted))
    assert needed <= counting.read < 1.1 * needed + 10_000 < 0.1 * path.stat().st_size


def test_other_forms_of_a_flux_column_are_read_alike(tmp_path: Path, hsc: Modality) -> None:
    cubes = np.random.default_rng(0).normal(size=(4, 3, 30, 30)).astype(np.float32)
    nested = cubes.astype(np.float64).tolist()
    fixed = pa.list_(pa.list_(pa.list_(pa.float32(), 30), 30), 3)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(cubes.ravel()), 3 * 30 * 30)
    forms = {
        "doubles": pa.array(nested, pa.list_(pa.list_(pa.list_(pa.float64())))),
        "large": pa.array(nested, pa.large_list(pa.large_list(pa.large_list(pa.float32())))),
        "fixed": pa.array(nested, fixed),
        "mixed": pa.array(nested, pa.list_(pa.list_(pa.list_(pa.float32(), 30), 30))),
        "tensor": pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), [3, 30, 30]), flat),
    }
    for name, flux in forms.items():
        table = one_image_table(tmp_path / name, flux)
        for row in range(4):
            assert (first_image(table, hsc, row).flux == cubes[row]).all(), name


def test_a_table_written_by_the_datasets_library_is_read_alike(tmp_path: Path, hsc: Modality) -> None:
    from datasets import Array3D, Dataset, Features, Sequence, Value

    cubes = np.random.default_rng(0).normal(size=(4, 3, 30, 30)).astype(np.float32)
    features = Features({"hsc_image": {"band": Sequence(Value("string")), "flux": Array3D((3, 30, 30), "float32")}})
    rows = {"hsc_image": [{"band": list(hsc.bands), "flux": cube} for cube in cubes]}
    (tmp_path / "sky").mkdir()
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "sky" / "train-00000-of-00001.parquet")
    table = open_folder(tmp_path / "sky")
    for row in range(4):
        assert (first_image(table, hsc, row).flux == cubes[row]).all()


def test_a_null_pixel_is_nan(tmp_path: Path, hsc: Modality) -> None:
    nested = np.ones((1, 3, 4, 4)).tolist()
    nested[0][1][2][3] = None
    table = one_image_table(tmp_path / "sky", pa.array(nested, pa.list_(pa.list_(pa.list_(pa.float32())))))
    assert np.argwhere(np.isnan(first_image(table, hsc).flux)).tolist() == [[1, 2, 3]]


def test_a_spectrum_is_read(tmp_path: Path, spectrum: Callable[..., Any]) -> None:
    (tmp_path / "sky").mkdir()
    rows = [spectrum(seed) for seed in range(3)]
    pq.write_table(pa.table({"spectrum": rows}), tmp_path / "sky" / "train-00000-of-00001.parquet")
    observation = next(open_folder(tmp_path / "sky").read(DESI, 1, 2)).observation
    assert isinstance(observation, Spectrum)
    assert (observation.flux == np.asarray(rows[1]["flux"], np.float32)).all()
    assert observation.wavelength[[0, -1]].tolist() == [3600, 9824]
    assert observation.mask.dtype == bool


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda row: None, BadTable, "column hsc_image is null"),
        (lambda row: {**row, "flux": None}, BadTable, "a null where numbers should be"),
        (lambda row: {**row, "flux": row["flux"][:4]}, BadTable, "4 planes of flux for 5 bands"),
        (lambda row: {**row, "flux": [*row["flux"][:4], row["flux"][4][:9]]}, BadTable, "the same length"),
        (lambda row: {**row, "band": ["hsc-g", "hsc-r", "i", "z", "y"]}, MissingBand, "no band hsc-z; it has hsc-g"),
        (lambda row: {**row, "scale": [0.168, 0.168, 0.168, 0.2, 0.168]}, BadTable, "one positive scale"),
    ],
)
def test_a_bad_value_is_said_with_its_file_and_row(
    write_table: Callable[..., Path],
    image: Callable[..., Any],
    hsc: Modality,
    spoil: Callable[[Any], Any],
    error: type[Exception],
    said: str,
) -> None:
    rows = [image(seed) for seed in range(8)]
    rows[6] = spoil(rows[6])
    table = open_folder(write_table(rows, files=2))
    with pytest.raises(error, match=f"train-00001-of-00002.parquet, row 2: .*{said}"):
        list(table.read(hsc, 0, 8))


def test_a_null_object_id_is_said_with_its_file_and_row(
    write_table: Callable[..., Path], image: Callable[..., Any], hsc: Modality
) -> None:
    folder = write_table([image(seed) for seed in range(4)], ids=["a", "b", None, "d"])
    with pytest.raises(BadTable, match="row 2: the object id in column object_id is None"):
        list(open_folder(folder, "object_id").read(hsc, 0, 4))


def test_a_missing_column_is_said_with_those_that_are_there(
    write_table: Callable[..., Path], image: Callable[..., Any], hsc: Modality
) -> None:
    table = open_folder(write_table([image(0)]))
    with pytest.raises(MissingColumn, match=r"has no column jwst_image.*it has hsc_image, object_id, z"):
        list(table.read(hsc.model_copy(update={"column": "jwst_image"}), 0, 1))
    with pytest.raises(MissingColumn, match="column z has no field flux, band; it is a double"):
        list(table.read(hsc.model_copy(update={"column": "z"}), 0, 1))


def test_a_table_without_a_scale_needs_one_in_the_modality(tmp_path: Path, hsc: Modality) -> None:
    flux = pa.array(np.ones((1, 3, 30, 30)).tolist(), pa.list_(pa.list_(pa.list_(pa.float32()))))
    table = one_image_table(tmp_path / "sky", flux)
    assert first_image(table, hsc).scale == 0.168
    with pytest.raises(MissingColumn, match="give scale_arcsec in the modality"):
        first_image(table, hsc.model_copy(update={"scale_arcsec": None}))


def test_images_that_are_shown_whole_cover_the_same_sky(
    write_table: Callable[..., Path], image: Callable[..., Any], hsc: Modality
) -> None:
    bands = ("hsc-g", "hsc-r", "hsc-z")
    finer = image(1, bands, 80, 0.084)  # as much sky, on twice the pixels
    table = open_folder(write_table([image(0, bands, 40), finer, image(2, bands, 30), image(3, bands, 40)], files=2))
    whole = hsc.model_copy(update={"field_arcsec": None})
    assert len(list(table.read(whole, 0, 2))) == 2
    assert len(list(table.read(whole, 3, 4))) == 1
    words = r"00001-of-00002\.parquet, row 0: an image of 30 x 30 pixels of 0\.168 arcsec; expected 40 x 40 pixels"
    with pytest.raises(BadTable, match=words):
        list(table.read(whole, 2, 3))
    assert len(list(table.read(hsc, 0, 4))) == 4  # a patch that all of them have


def test_a_truncated_file_is_named(write_table: Callable[..., Path], image: Callable[..., Any], hsc: Modality) -> None:
    folder = write_table([image(seed) for seed in range(8)], files=2)
    broken = folder / "train-00001-of-00002.parquet"
    broken.write_bytes(broken.read_bytes()[:-500])
    with pytest.raises(BadTable, match=r"train-00001-of-00002.parquet cannot be read"):
        list(open_folder(folder).read(hsc, 0, 8))


def test_splits_are_those_of_the_file_names(
    tmp_path: Path, write_table: Callable[..., Path], image: Callable[..., Any]
) -> None:
    folder = write_table([image(seed) for seed in range(2)])
    (folder / "notes.md").write_text("not a table")
    assert [Path(path).name for path in find_folder_files(folder, "train").paths] == ["train-00000-of-00001.parquet"]
    with pytest.raises(UnknownName, match=r"no split of .*'test'.*known: train"):
        find_folder_files(folder, "test")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(EmptyDataset, match="has no data files"):
        find_folder_files(tmp_path / "nothing", "train")
