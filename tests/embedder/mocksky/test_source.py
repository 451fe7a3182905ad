"""MockSky as a source: the same galaxy however it is read, named errors, a cache that heals."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedder.catalogue.datasets import find_dataset
from embedder.recipes import Prepared, find_recipe
from embedder.samples import Entry, Image, Spectrum
from embedder.sources.mocksky import LABELS, MODALITIES, VERSION, MockSky
from embedder.sources.mocksky.blocks import Blocks
from shared.errors import BadInput, UnknownName

from .conftest import fingerprint, modality

ROOT = Path(__file__).parents[3]
SURVEYS = {
    "hsc": (("hsc-g", "hsc-r", "hsc-i", "hsc-z", "hsc-y"), 160, 0.168),
    "jwst": (("f090w", "f115w", "f150w", "f200w", "f277w", "f356w", "f444w"), 96, 0.04),
    "legacysurvey": (("des-g", "des-r", "des-i", "des-z"), 160, 0.262),
}


@pytest.mark.parametrize("name", SURVEYS)
def test_images_have_their_surveys_bands_shape_and_scale(sky: MockSky, name: str) -> None:
    bands, side, scale = SURVEYS[name]
    for sample in sky.read(modality(name), 0, 3):
        image = sample.observation
        assert isinstance(image, Image)
        assert (image.bands, image.scale) == (bands, scale)
        assert image.flux.shape == (len(bands), side, side)
        assert image.flux.dtype == np.float32
        assert np.isfinite(image.flux).all()


def test_spectra_lie_on_the_desi_grid(sky: MockSky) -> None:
    (sample,) = sky.read(modality("desi"), 4, 5)
    spectrum = sample.observation
    assert isinstance(spectrum, Spectrum)
    assert spectrum.flux.shape == spectrum.ivar.shape == spectrum.mask.shape == spectrum.wavelength.shape == (7781,)
    assert (spectrum.wavelength[0], spectrum.wavelength[-1]) == (3600, 9824)
    assert np.allclose(np.diff(spectrum.wavelength), 0.8, atol=1e-3)
    assert (spectrum.ivar[spectrum.mask] > 0).all()
    assert (spectrum.ivar[~spectrum.mask] == 0).all()


def test_ids_and_rows_follow_the_number(sky: MockSky) -> None:
    samples = list(sky.read(modality("desi"), 30, 34))
    assert [sample.row for sample in samples] == [30, 31, 32, 33]
    assert samples[0].object_id == "mocksky-000030"
    assert sky.rows == 96


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(MODALITIES), start=st.integers(0, 95), length=st.integers(1, 3))
def test_a_galaxy_does_not_depend_on_the_range_it_is_read_in(sky: MockSky, name: str, start: int, length: int) -> None:
    stop = min(start + length, 96)
    alone = MockSky(seed=7, size=500, cache=None)
    for read, single in zip(sky.read(modality(name), start, stop), range(start, stop), strict=True):
        (again,) = alone.read(modality(name), single, single + 1)
        assert fingerprint(read.observation) == fingerprint(again.observation)
        assert read.object_id == again.object_id


def test_labels_do_not_depend_on_the_range(sky: MockSky) -> None:
    whole, part = sky.labels(0, 40), sky.labels(33, 37)
    assert tuple(whole) == tuple(label.name for label in LABELS)
    for name, column in part.items():
        np.testing.assert_array_equal(column, whole[name][33:37])


def test_labels_and_texts_are_the_label_columns_of_the_same_galaxies(sky: MockSky) -> None:
    known = sky.labels(30, 40)
    for label in find_dataset("mocksky").label_modalities():
        samples = list(sky.read(label, 30, 40))
        assert [sample.row for sample in samples] == list(range(30, 40))
        assert [sample.observation for sample in samples] == [Entry({label.name: value}) for value in known[label.name]]
    catalogue = find_dataset("mocksky").modalities[-1]
    (sample,) = sky.read(catalogue, 33, 34)
    assert sample.object_id == next(sky.read(modality("hsc"), 33, 34)).object_id
    assert sample.observation == Entry({column.name: known[column.name][3] for column in catalogue.columns})
    prepared = find_recipe(catalogue.recipe).prepare(sample.observation, catalogue)
    assert isinstance(prepared, Prepared)
    assert re.fullmatch(r"i magnitude .* mag, g-r colour .* mag, effective radius .* arcsec, inclination .* deg\.",
                        str(prepared.values))  # fmt: skip


def test_a_label_that_mocksky_has_not_is_named_with_its_neighbours(sky: MockSky) -> None:
    label = find_dataset("mocksky").label_modalities()[0].model_copy(update={"column": "redshfit"})
    with pytest.raises(UnknownName, match=r"no label of mocksky 'redshfit'.*did you mean redshift"):
        sky.read(label, 0, 1)
    with pytest.raises(BadInput, match="a range within 0 to 96"):
        sky.read(label.model_copy(update={"column": "redshift"}), 0, 97)


def test_another_process_with_one_thread_sees_the_same_galaxy(sky: MockSky) -> None:
    program = (
        "import hashlib; from embedder.sources.mocksky import MockSky, MODALITIES;"
        "from types import SimpleNamespace as N; sky = MockSky(7, 20, None);"
        "flux = [next(sky.read(N(name=name, kind='image'), 17, 18)).observation.flux.tobytes() for name in MODALITIES];"
        "print(hashlib.sha256(b''.join(flux)).hexdigest())"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program]
    output = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    ours = b"".join(next(sky.read(modality(name), 17, 18)).observation.flux.tobytes() for name in MODALITIES)
    assert output.stdout.strip() == hashlib.sha256(ours).hexdigest()


def test_seeds_differ() -> None:
    first, second = (MockSky(seed=seed, size=5).labels(0, 5) for seed in (0, 1))
    assert not np.any(first["redshift"] == second["redshift"])


def test_the_sky_of_v1_stays_what_it_is() -> None:
    """When this fails, a pixel or a label has changed: raise VERSION, then these numbers."""
    assert VERSION == "v1"
    sky = MockSky(seed=0, size=4)
    labels = sky.labels(0, 4)
    np.testing.assert_allclose(labels["redshift"], GOLDEN_REDSHIFT, rtol=1e-5)
    np.testing.assert_allclose(labels["log_ssfr"], GOLDEN_SSFR, rtol=1e-5)
    for name, total in GOLDEN_FLUX.items():
        flux = next(sky.read(modality(name), 2, 3)).observation.flux.astype(float)
        assert flux.sum() == pytest.approx(total, rel=1e-4)


def test_unknown_modality_is_named_with_its_neighbours(sky: MockSky) -> None:
    with pytest.raises(UnknownName, match=r"'jwts'.*did you mean jwst"):
        sky.read(modality("jwts"), 0, 1)


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (0, 97), (5, 4)])
def test_rows_that_are_not_there_are_refused_before_iterating(sky: MockSky, start: int, stop: int) -> None:
    with pytest.raises(BadInput, match="a range within 0 to 96"):
        sky.read(modality("hsc"), start, stop)
    with pytest.raises(BadInput, match="a range within 0 to 96"):
        sky.labels(start, stop)


def test_an_empty_range_is_empty(sky: MockSky) -> None:
    assert list(sky.read(modality("hsc"), 3, 3)) == []
    assert all(len(column) == 0 for column in sky.labels(3, 3).values())


@pytest.mark.parametrize(("seed", "size"), [(-1, 5), (0, 0)])
def test_bad_seed_or_size_is_refused(seed: int, size: int) -> None:
    with pytest.raises(BadInput):
        MockSky(seed=seed, size=size)


def _desi(folder: Path, size: int = 3) -> bytes:
    sky = MockSky(seed=3, size=size, cache=folder)
    return b"".join(fingerprint(sample.observation) for sample in sky.read(modality("desi"), 0, 3))


def test_the_cache_file_does_not_depend_on_size_or_range(tmp_path: Path) -> None:
    _desi(tmp_path / "a", size=3)
    list(MockSky(seed=3, size=1000, cache=tmp_path / "b").read(modality("desi"), 20, 21))
    (ours,), (theirs,) = ((tmp_path / side).rglob("*.npz") for side in "ab")
    assert ours.relative_to(tmp_path / "a").as_posix() == f"mocksky-{VERSION}-seed3/desi-000000.npz"
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:5000] + b"\1" + b[5001:]])
def test_a_damaged_cache_file_is_noticed_and_rebuilt(
    tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    before = _desi(tmp_path)
    (file,) = tmp_path.rglob("*.npz")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))  # type: ignore[operator]
    assert _desi(tmp_path) == before
    assert file.read_bytes() == whole
    assert list(tmp_path.rglob("*.partial")) == []


def test_a_block_under_another_name_is_not_believed(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path)
    blocks.get("one", lambda: {"a": np.arange(3)})
    (tmp_path / "one.npz").rename(tmp_path / "two.npz")
    assert blocks.get("two", lambda: {"a": np.arange(4)})["a"].tolist() == [0, 1, 2, 3]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_unnoticed(tmp_path: Path, place: float, bit: int) -> None:
    blocks, truth = Blocks(tmp_path), np.arange(50, dtype=np.float32)
    blocks.get("block", lambda: {"a": truth})
    file = tmp_path / "block.npz"
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    file.write_bytes(content)
    calls: list[int] = []
    found = blocks.get("block", lambda: calls.append(1) or {"a": truth})["a"]  # type: ignore[func-returns-value]
    assert calls == [1]
    np.testing.assert_array_equal(found, truth)


def test_a_block_opens_as_an_ordinary_npz(tmp_path: Path) -> None:
    Blocks(tmp_path).get("block", lambda: {"a": np.arange(3)})
    with np.load(tmp_path / "block.npz", allow_pickle=False) as arrays:
        assert arrays["a"].tolist() == [0, 1, 2]


GOLDEN_REDSHIFT = [0.3245781, 0.3423047, 0.476868, 0.3721595]
GOLDEN_SSFR = [-12.133441, -9.579371, -12.187995, -11.971505]
GOLDEN_FLUX = {"hsc": 1290.321, "jwst": 30038.02, "legacysurvey": 14.99303, "desi": 2573.972}
