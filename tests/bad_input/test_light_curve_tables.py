"""A user's own tables: light curves that are none are refused before a study is accepted, naming file and row."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedder.recipes import find_recipe
from embedder.resolve import resolve_dataset
from embedder.sources.kinds import open_source
from shared.errors import BadInput, BadTable, MissingBand, MissingColumn, SameSkyError
from shared.requests import DatasetRequest
from shared.settings import Settings

Refused = Callable[..., AbstractContextManager[None]]
Plain = dict[str, Any]
FILE = "train-00000-of-00001.parquet"
GOOD: Plain = {"time": [0.0, 1.0, 2.0], "flux": [1.0, 2.0, 3.0], "flux_err": [0.1, 0.1, 0.1], "band": ["g", "g", "g"]}


def changed(**fields: Any) -> Plain:
    return {name: value for name, value in {**GOOD, **fields}.items() if value is not ...}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings that let a study name folders under `roots`."""
    (tmp_path / "roots").mkdir()
    return Settings.read({"SAMESKY_DATASET_ROOTS": str(tmp_path / "roots")})


def ask(folder: Path, row: Any, **own: Any) -> DatasetRequest:
    """A table of these light curves, or of this one."""
    folder.mkdir()
    curves = row if isinstance(row, pa.Array) else pa.array([row])
    pq.write_table(pa.table({"curve": curves, "name": [f"g{number}" for number in range(len(curves))]}), folder / FILE)
    modalities = {"lc": {"kind": "light-curve", "column": "curve", **own}}
    return DatasetRequest.model_validate({"name": "sky", "folder": str(folder), "modalities": modalities})


ROW = f"{FILE}, row 0: "
MOMENT = datetime(2026, 1, 1)  # as tables often have it
CASES: tuple[tuple[str, Any, Plain, type[SameSkyError], str], ...] = (
    ("of no struct", pa.array([[1.0]]), {}, MissingColumn, "column curve has no field time, flux; it is a list<"),
    ("without time", changed(time=...), {}, MissingColumn, "column curve has no field time; it is a struct<"),
    ("without flux", changed(flux=...), {}, MissingColumn, "; expected a struct of time, flux; name another column"),
    ("without bands to choose from", changed(band=...), {"bands": ["g"]}, MissingColumn, "has no field band; it is"),
    ("of which there is none", pa.array([None, GOOD]), {}, BadTable, ROW + "column curve is null"),
    ("without times", pa.array([changed(time=None), GOOD]), {}, BadTable, ROW + "time is null; expected a list of num"),
    ("of words", changed(time=["a", "b", "c"]), {}, BadTable, ROW + "time is a list<element: string>; expected a list"),
    ("of one number", changed(time=1.0), {}, BadTable, ROW + "time is a double; expected a list of numbers"),
    ("of images", changed(flux=[[1.0], [2.0], [3.0]]), {}, BadTable, ROW + "flux is a list<element: list<"),
    ("of moments", changed(time=[MOMENT] * 3), {}, BadTable, ROW + "time is a list<element: timestamp[us]>; expected"),
    ("of two lengths", changed(flux=[1.0, 2.0]), {}, BadTable, ROW + "time, flux, flux_err, band of [2, 3] samples"),
    ("of a band too few", changed(band=["g", "g"]), {}, BadTable, "band of [2, 3] samples; expected the same number"),
    ("of an error too many", changed(flux_err=[1.0] * 4), {}, BadTable, "flux_err, band of [3, 4] samples; expected"),
    ("of bands that are null", changed(band=["g", None, "g"]), {}, BadTable, ROW + "the bands ['g', None, 'g']"),
    ("of several bands", changed(band=["g", "r", "g"]), {}, MissingBand, "of 2 bands, g, r, and none is chosen"),
    ("of uneven times", changed(time=[0.0, 1.0, 7.0]), {}, BadInput, "1 to 6 days apart; expected even spacing, each "),
    ("of a time that comes twice", changed(time=[0.0, 1.0, 1.0]), {}, BadInput, "give cadence_days in the modality"),
)


@pytest.mark.parametrize(("row", "own", "error", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_light_curve_that_is_none_is_refused(
    row: Any, own: Plain, error: type[SameSkyError], said: str, settings: Settings, tmp_path: Path, refused: Refused
) -> None:
    request = ask(tmp_path / "roots" / "sky", row, **own)
    with refused(error, said):
        resolve_dataset(request, settings)


def test_what_is_wrong_with_a_later_row_names_it(settings: Settings, tmp_path: Path) -> None:
    rows = pa.array([GOOD, GOOD, changed(flux=[1.0])])
    dataset, (lc,) = resolve_dataset(ask(tmp_path / "roots" / "sky", rows), settings)
    source = open_source(dataset, settings)
    assert len(list(source.read(lc, 0, 2))) == 2
    with pytest.raises(BadTable, match=rf"{FILE}, row 2: .*of \[1, 3\] samples"):
        list(source.read(lc, 0, 3))


UNLIKELY: tuple[tuple[str, Plain], ...] = (
    ("of no samples", {"time": [], "flux": [], "flux_err": [], "band": []}),
    ("in no order", changed(time=[2.0, 0.0, 1.0])),
    ("of which one time comes twice", changed(time=[0.0, 1.0, 1.0])),
    ("of no finite flux", changed(flux=[float("nan"), None, float("inf")])),
    ("of fluxes too large for single precision", changed(flux=[1e300, -1e300, 1.0])),
    ("of no known error", changed(flux_err=None)),
    ("of whole numbers", changed(time=[0, 1, 2], flux=[1, 2, 3])),
)


@pytest.mark.parametrize("row", [case[1] for case in UNLIKELY], ids=[case[0] for case in UNLIKELY])
def test_a_light_curve_that_is_only_unlikely_is_taken(row: Plain, settings: Settings, tmp_path: Path) -> None:
    """Whether an object can be shown is for its recipe to say: it is dropped and counted, and the study goes on."""
    rows = pa.array([row, GOOD])
    dataset, (lc,) = resolve_dataset(ask(tmp_path / "roots" / "sky", rows, bands=["g"], cadence_days=1), settings)
    for sample in open_source(dataset, settings).read(lc, 0, 2):
        find_recipe(lc.recipe).prepare(sample.observation, lc)
