"""Two surveys to a dataset: tables of every kind, folders of images, and what comes out used as any dataset is."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import Table
from typer.testing import CliRunner

from embedder.recipes import Prepared, find_recipe
from embedder.resolve import resolve_dataset
from embedder.sky import tables
from embedder.sky.crossmatch import Plan, crossmatch
from embedder.sky.designations import designate
from embedder.sky.frames import Frame, to_icrs
from embedder.sky.sides import SideRequest
from embedder.sources.kinds import open_source
from services.cli import app
from services.study_file import read_study_file
from shared.errors import BadInput, DuplicateObjectIds, EmptyDataset
from shared.settings import Settings

WriteImage = Callable[..., Path]
Plain = dict[str, Any]
REAL = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "first_nvss_fits"
SECOND = 1 / 3600


class Silent:
    """Hears of the progress, and adds it up."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.steps = 0

    def begin(self, what: str, total: int | None) -> None:
        self.begun.append(what)

    def advance(self, steps: int) -> None:
        self.steps += steps


def run(left: Path | SideRequest, right: Path | SideRequest, output: Path, radius: float = 1.0, **how: Any) -> Plain:
    sides = [SideRequest(side) if isinstance(side, Path) else side for side in (left, right)]
    return crossmatch(Plan(sides[0], sides[1], radius, **how), output, Silent())


def matched(folder: Path) -> pa.Table:
    return pq.read_table(folder / "matched")


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """40 objects in Parquet and 30 in CSV, of which 20 are the same, 0.3 arcsec further east there."""
    random = np.random.default_rng(0)
    ra, dec = random.uniform(0, 360, 50), random.uniform(-80, 80, 50)
    east = ra + 0.3 * SECOND / np.cos(np.radians(dec))
    left = pa.table({"ra": ra[:40], "dec": dec[:40], "g": ra[:40].astype("float32"), "kind": ["S", "E"] * 20})
    right = pa.table({"RAJ2000": east[20:][::-1], "DEJ2000": dec[20:][::-1], "J mag": random.normal(15, 1, 30)})
    pq.write_table(left, tmp_path / "optical.parquet", row_group_size=7)
    pa_csv.write_csv(right, tmp_path / "Infra.red.csv")
    return tmp_path / "optical.parquet", tmp_path / "Infra.red.csv"


def test_two_tables_become_a_dataset(tmp_path: Path, two: tuple[Path, Path], settings: Settings) -> None:
    report = run(*two, tmp_path / "roots" / "both")
    folder = tmp_path / "roots" / "both"
    table = matched(folder)
    assert table["optical_row"].to_pylist() == list(range(20, 40))
    assert table["infra_row"].to_pylist() == list(range(29, 9, -1))
    assert np.allclose(table["separation_arcsec"], 0.3, atol=1e-6)
    assert np.allclose(table["offset_east_arcsec"], 0.3, atol=1e-6)
    assert table["optical_g"].to_numpy() == pytest.approx(table["ra"].to_numpy(), rel=1e-6)
    assert table.column_names[-3:] == ["infra_RAJ2000", "infra_DEJ2000", "infra_J mag"]
    assert (report["matched"], report["ambiguous"]) == (20, 0)
    assert (report["left"]["unmatched"], report["right"]["unmatched"]) == (20, 10)
    assert report["right"]["position"] == ["RAJ2000", "DEJ2000"]
    assert json.loads((folder / "report.json").read_text()) == report
    alone = pq.read_table(folder / "unmatched" / "infra")
    assert sorted(alone["row"].to_pylist()) == list(range(10))
    assert set(alone["reason"].to_pylist()) == {"alone"}

    study = read_study_file(folder / "study.yaml")
    dataset, modalities = resolve_dataset(study.datasets[0], settings)
    assert (dataset.rows, [modality.name for modality in modalities]) == (20, ["infra", "optical"])
    told = next(open_source(dataset, settings).read(modalities[1], 0, 1))
    shown = find_recipe(modalities[1].recipe).prepare(told.observation, modalities[1])
    assert isinstance(shown, Prepared)
    assert shown.values == f"g {table['optical_g'][0].as_py():#.4g}, kind S.".replace(".,", ",")


def test_the_sides_may_change_places(tmp_path: Path, two: tuple[Path, Path]) -> None:
    run(*two, tmp_path / "one")
    run(*two[::-1], tmp_path / "other")
    pairs = ["optical_row", "infra_row"]
    one, other = (
        sorted(zip(*(matched(tmp_path / n)[p].to_pylist() for p in pairs), strict=True)) for n in ("one", "other")
    )
    assert one == other


def test_the_same_surveys_give_the_same_bytes(tmp_path: Path, two: tuple[Path, Path]) -> None:
    for name in ("one", "other"):
        run(*two, tmp_path / name)
    files = [{p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*") if p.is_file()}
             for n in ("one", "other")]  # fmt: skip
    assert files[0] == files[1]
    assert {path.as_posix() for path in files[0]} == {
        "README.md", "report.json", "study.yaml", "matched/part-00000.parquet",
        "unmatched/optical/part-00000.parquet", "unmatched/infra/part-00000.parquet",
    }  # fmt: skip


FORMS = [
    ("a.fits", "fits"),
    ("a.fits.gz", "fits"),
    ("a.vot", "votable"),
    ("a.ecsv", "ascii.ecsv"),
    ("a.parquet", "parquet"),
    ("a.csv", "ascii.csv"),
]


@pytest.mark.parametrize(("name", "form"), FORMS)
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
def test_a_table_of_any_kind_with_units_and_nulls(
    tmp_path: Path, two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, name: str, form: str
) -> None:
    """Positions in radians, where the kind of table can say so; an unknown whole number; arrays; in stretches."""
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 16)
    left = pq.read_table(two[0])
    knows = form != "ascii.csv"
    unit = units.rad if knows else units.deg
    made = Table()
    made["RA"] = (left["ra"].to_numpy() * units.deg).to_value(unit)
    made["DEC"] = (left["dec"].to_numpy() * units.deg).to_value(unit)
    if knows:
        made["RA"].unit = made["DEC"].unit = unit
    made["count"] = np.ma.masked_equal(np.arange(40), 25)
    made["name"] = [f"source {row}" for row in range(40)]
    if form in ("fits", "votable"):
        made["flux"] = np.arange(80.0).reshape(40, 2)
    made.write(tmp_path / name, format=form)
    report = run(SideRequest(tmp_path / name, name="left", id_column="name"), two[1], tmp_path / "out")
    table = matched(tmp_path / "out")
    assert report["left"]["unit_from"] == ("the column" if knows else "assumed: deg")
    assert table["object_id"].to_pylist() == [f"source {row}" for row in range(20, 40)]
    assert table["left_count"].to_pylist() == [None if row == 25 else row for row in range(20, 40)]
    assert np.allclose(table["ra"], left["ra"].to_numpy()[20:], atol=1e-9, rtol=0)
    if form in ("fits", "votable"):
        assert table["left_flux"].to_pylist()[3] == [46.0, 47.0]


@pytest.mark.parametrize("frame", ["galactic", "fk5", "fk4"])
def test_positions_in_another_frame_are_converted(tmp_path: Path, two: tuple[Path, Path], frame: str) -> None:
    left = pq.read_table(two[0])
    kinds = {"galactic": "galactic", "fk5": "fk5", "fk4": "fk4"}
    there = SkyCoord(left["ra"].to_numpy(), left["dec"].to_numpy(), unit="deg").transform_to(kinds[frame])
    lon, lat = there.spherical.lon.deg, there.spherical.lat.deg
    names = ("GLON", "GLAT") if frame == "galactic" else ("x", "y")
    pq.write_table(pa.table({names[0]: lon, names[1]: lat}), tmp_path / "there.parquet")
    side = SideRequest(tmp_path / "there.parquet")
    if frame != "galactic":
        side = SideRequest(tmp_path / "there.parquet", position="x,y", frame=frame)
    run(side, two[1], tmp_path / "out")
    table = matched(tmp_path / "out")
    assert table.num_rows == 20
    assert np.allclose(table["separation_arcsec"], 0.3, atol=1e-4)


def test_frames_agree_with_published_positions() -> None:
    """The north galactic pole and the galactic centre, as Blaauw et al. (1960) define them."""
    ra, dec = to_icrs(np.array([0.0, 0.0]), np.array([90.0, 0.0]), Frame.GALACTIC)
    assert ra == pytest.approx([192.85948, 266.40500], abs=2e-4)
    assert dec == pytest.approx([27.12825, -28.93617], abs=2e-4)
    ra, dec = to_icrs(np.array([192.25]), np.array([27.4]), Frame.FK4)
    assert (float(ra[0]), float(dec[0])) == pytest.approx((192.85948, 27.12825), abs=2e-4)


def test_designations_are_cut_off_and_not_rounded() -> None:
    ra = np.array([188.6949167, 0.0, 359.999999, 15.0, 0.29 / 240])
    dec = np.array([-1.3961389, 0.0, 89.99999, -0.00001, 0.0])
    assert designate(ra, dec) == [
        "J123446.78-012346.1",
        "J000000.00+000000.0",
        "J235959.99+895959.9",
        "J010000.00-000000.0",
        "J000000.29+000000.0",
    ]


def test_objects_of_one_designation_are_refused(tmp_path: Path) -> None:
    near = pa.table({"ra": [10.0, 10.0], "dec": [20.0, 20.0 + 0.02 * SECOND], "n": ["a", "b"]})
    pq.write_table(near, tmp_path / "near.parquet")
    left, right = SideRequest(tmp_path / "near.parquet", name="a"), SideRequest(tmp_path / "near.parquet", name="b")
    with pytest.raises(DuplicateObjectIds, match=r"J004000.00\+200000.0' is that of near.parquet, row 0, and of near"):
        run(left, right, tmp_path / "out")
    run(left, SideRequest(tmp_path / "near.parquet", name="b", id_column="n"), tmp_path / "out")
    assert matched(tmp_path / "out")["object_id"].to_pylist() == ["a", "b"]
    assert matched(tmp_path / "out")["ambiguous"].to_pylist() == [True, True]


def test_nothing_is_left_where_nothing_matches_or_something_is_there(tmp_path: Path, two: tuple[Path, Path]) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(EmptyDataset, match=r"no object of optical matches one of infra within 0\.1 arcsec"):
        run(*two, tmp_path / "out", radius=0.1)
    assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "note").write_text("mine")
    with pytest.raises(BadInput, match="is there already"):
        run(*two, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["note"]
    (tmp_path / "out" / "note").unlink()
    run(*two, tmp_path / "out")
    assert matched(tmp_path / "out").num_rows == 20


def test_a_disk_that_is_full_is_said_and_nothing_is_left(tmp_path: Path, two: tuple[Path, Path]) -> None:
    before = sorted(tmp_path.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(BadInput, match=r"out cannot be written: .*File too large"):
            run(*two, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_of_parquet_files_is_one_table(tmp_path: Path, two: tuple[Path, Path]) -> None:
    whole = pq.read_table(two[0])
    (tmp_path / "many").mkdir()
    for index, start in enumerate((0, 15, 30)):
        pq.write_table(whole.slice(start, 15), tmp_path / "many" / f"{index}.parquet")
    run(SideRequest(tmp_path / "many", name="optical", columns=("g",)), two[1], tmp_path / "out")
    run(SideRequest(two[0], columns=("g",)), two[1], tmp_path / "one")
    assert matched(tmp_path / "out").equals(matched(tmp_path / "one"))


def test_a_folder_of_images_against_a_table(tmp_path: Path, write_image: WriteImage, settings: Settings) -> None:
    where = [(150.0, 2.0), (151.0, 2.5), (359.9999, -89.0)]
    for index, (ra, dec) in enumerate(where):
        values = np.random.default_rng(index).normal(size=(40, 40))
        write_image(tmp_path / "radio" / f"{index}.fits", ra, dec, values=values, scale=1.5)
    rows = pa.table({"ra": [151.0, 150.0, 10.0], "dec": [2.5, 2.0 + SECOND, 0.0], "z": [0.1, 0.2, 0.3]})
    pq.write_table(rows, tmp_path / "known.parquet")
    folder = tmp_path / "roots" / "out"
    run(tmp_path / "known.parquet", SideRequest(tmp_path / "radio", band="1.4GHz"), folder, 2.0, size_arcsec=30.0)
    table = matched(folder)
    assert table["radio_file"].to_pylist() == ["1.fits", "0.fits"]
    image = table["radio_image"][0].as_py()
    assert (image["band"], image["scale"]) == (["1.4GHz"], [pytest.approx(1.5)])
    values = np.random.default_rng(1).normal(size=(40, 40)).astype(np.float32)
    assert np.array_equal(np.float32(image["flux"][0]), values[10:30, 10:30])
    study = read_study_file(folder / "study.yaml")
    assert study.pairs == ("crosskind",)
    dataset, modalities = resolve_dataset(study.datasets[0], settings)
    assert {modality.name: modality.kind for modality in modalities} == {"known": "text", "radio": "image"}
    assert dataset.rows == 2


def test_images_that_a_table_holds_are_shown_in_the_study(
    tmp_path: Path, two: tuple[Path, Path], image: Callable[..., Plain], settings: Settings
) -> None:
    left = pq.read_table(two[0]).append_column("hsc", pa.array([image(seed, side=12) for seed in range(40)]))
    pq.write_table(left, tmp_path / "with.parquet", row_group_size=8)
    folder = tmp_path / "roots" / "out"
    run(tmp_path / "with.parquet", two[1], folder, size_arcsec=1.68)
    study = read_study_file(folder / "study.yaml")
    _, modalities = resolve_dataset(study.datasets[0], settings)
    shown = {modality.name: modality for modality in modalities}
    assert (shown["with"].bands, shown["with"].field_arcsec) == (("hsc-g", "hsc-i", "hsc-y"), 1.68)
    assert matched(folder)["with_hsc"].to_pylist() == left["hsc"].to_pylist()[20:]


def test_real_radio_images_are_matched_and_cut(tmp_path: Path, settings: Settings) -> None:
    """36 sources are in FIRST and in NVSS, six in each alone; every matched one can be shown, the same patch of it."""
    if not REAL.is_dir():
        pytest.skip(f"the real images are not at {REAL}")
    folder = tmp_path / "roots" / "radio"
    arguments = ["crossmatch", str(REAL / "first"), str(REAL / "nvss"), "--radius", "5arcsec", "--size", "4arcmin"]
    done = CliRunner().invoke(app, [*arguments, "--output", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["matched"], report["left"]["unmatched"], report["right"]["unmatched"]) == (36, 6, 6)
    assert report["left"]["unit"] == report["right"]["unit"] == "Jy / beam"
    assert (report["left"]["incomplete_cutouts"], report["right"]["incomplete_cutouts"]) == (0, 0)
    dataset, modalities = resolve_dataset(read_study_file(folder / "study.yaml").datasets[0], settings)
    assert dataset.rows == 36
    for modality in modalities:
        samples = list(open_source(dataset, settings).read(modality, 0, 36))
        shown = [find_recipe(modality.recipe).prepare(sample.observation, modality) for sample in samples]
        assert all(isinstance(one, Prepared) and not one.repaired for one in shown)
