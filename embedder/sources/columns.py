"""One struct of an Arrow column to one observation, without a detour through Python lists.

Imports pyarrow and numpy. An image's flux may be nested lists of any kind, or a tensor of fixed shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from embedder.framing import find_bands
from embedder.samples import Image, LightCurve, Observation, Spectrum
from embedder.sources.pictures import read_picture
from shared.errors import BadTable, MissingColumn
from shared.modalities import Modality

_PICTURE_FIELDS = ("bytes",)
_FIELDS = {
    "image": ("flux", "band", "scale"),
    "spectrum": ("flux", "ivar", "lambda", "mask"),
    "light-curve": ("time", "flux", "flux_err", "band"),
}
_NEEDED = {"image": ("flux", "band"), "spectrum": _FIELDS["spectrum"], "light-curve": ("time", "flux")}


def choose_fields(column: pa.Field, modality: Modality) -> list[str]:
    """The fields of a struct column that an observation is made of, as `column.field`.

    Raises MissingColumn when the column is no struct, or has no such field.
    """
    names = [] if not pa.types.is_struct(column.type) else [field.name for field in column.type]
    needed = _PICTURE_FIELDS if _is_picture(modality) else _NEEDED[modality.kind]
    if modality.kind == "light-curve" and modality.bands:
        needed = (*needed, "band")
    missing = [name for name in needed if name not in names]
    if missing:
        raise MissingColumn(
            f"column {column.name} has no field {', '.join(missing)}; it is a {column.type!s:.120}",
            f"a struct of {', '.join(needed)}",
            "name the bands of the modality" if "flux" in names else "name another column in the modality",
        )
    return [f"{column.name}.{name}" for name in _fields(modality) if name in names]


def read_observation(structs: pa.StructArray, row: int, modality: Modality) -> Observation:
    """The observation in element `row`. Raises BadTable, MissingColumn, MissingBand; the caller says where."""
    if not structs[row].is_valid:
        raise BadTable(f"column {modality.column} is null", f"a {modality.kind} of every object")
    fields = {field.name: structs.field(field.name) for field in structs.type}
    if _is_picture(modality):
        return read_picture(fields["bytes"][row].as_py())
    if modality.kind == "image":
        return _read_image(fields, row, modality)
    return _read_spectrum(fields, row) if modality.kind == "spectrum" else _read_light_curve(fields, row)


def _read_image(fields: dict[str, pa.Array], row: int, modality: Modality) -> Image:
    bands = _bands(fields["band"], row)
    flux = _dense(fields["flux"], row, 3, np.dtype(np.float32))
    if len(flux) != len(bands):
        raise BadTable(f"{len(flux)} planes of flux for {len(bands)} bands", "one plane for each band")
    shown = find_bands(bands, modality)
    return Image(bands, flux, _scale(fields.get("scale"), row, shown, len(bands), modality))


def _fields(modality: Modality) -> tuple[str, ...]:
    return _PICTURE_FIELDS if _is_picture(modality) else _FIELDS[modality.kind]


def _is_picture(modality: Modality) -> bool:
    return modality.kind == "image" and not modality.bands


def _bands(column: pa.Array, row: int) -> tuple[str, ...]:
    names = column[row].as_py()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadTable(f"the bands {names!r:.80}", "a list of their names")
    return tuple(names)


def _scale(column: pa.Array | None, row: int, shown: list[int], bands: int, modality: Modality) -> float:
    value = None if column is None else column[row].as_py()
    if value is None:
        if modality.scale_arcsec is None and modality.field_arcsec is not None:
            raise MissingColumn(
                f"column {modality.column} has no scale, so {modality.field_arcsec:g} arcsec is no number of pixels",
                "a field `scale`, in arcsec per pixel",
                "give scale_arcsec in the modality",
            )
        return modality.scale_arcsec or 1.0
    listed = value if isinstance(value, list) else [value]
    if len(listed) not in (1, bands) or not all(isinstance(one, float | int) for one in listed):
        raise BadTable(f"a scale of {value!r:.80}", f"a number of arcsec per pixel, or one for each of {bands} bands")
    scales = np.asarray(listed, dtype=np.float64)
    taken = scales[shown] if len(scales) > 1 else scales
    if not (np.isfinite(taken).all() and (taken > 0).all() and np.allclose(taken, taken[0], rtol=1e-4)):
        raise BadTable(f"scales of {taken.tolist()} arcsec per pixel", "one positive scale for all bands shown")
    return float(taken[0])


def _read_spectrum(fields: dict[str, pa.Array], row: int) -> Spectrum:
    numbers = np.dtype(np.float32)
    flux, ivar, wavelength = (_dense(fields[name], row, 1, numbers) for name in ("flux", "ivar", "lambda"))
    mask = _dense(fields["mask"], row, 1, np.dtype(np.bool_))
    lengths = {len(flux), len(ivar), len(wavelength), len(mask)}
    if len(lengths) > 1:
        raise BadTable(f"flux, ivar, lambda and mask of {sorted(lengths)} samples", "the same number in each")
    return Spectrum(flux, ivar, wavelength, mask)


def _read_light_curve(fields: dict[str, pa.Array], row: int) -> LightCurve:
    time, flux = (_numbers(fields[name], row, name) for name in ("time", "flux"))
    error = _numbers(fields["flux_err"], row, "flux_err") if _is_there(fields, "flux_err", row) else None
    bands = np.array(_bands(fields["band"], row), dtype=np.str_) if _is_there(fields, "band", row) else None
    lengths = {len(values) for values in (time, flux, error, bands) if values is not None}
    if len(lengths) > 1:
        shown = ", ".join(name for name in _FIELDS["light-curve"] if name in fields)
        raise BadTable(f"{shown} of {sorted(lengths)} samples", "the same number in each")
    with np.errstate(over="ignore"):  # what single precision cannot hold is infinite, and cannot be used
        return LightCurve(time, flux.astype(np.float32), None if error is None else error.astype(np.float32), bands)


def _is_there(fields: dict[str, pa.Array], name: str, row: int) -> bool:
    return name in fields and bool(fields[name][row].is_valid)


def _numbers(column: pa.Array, row: int, name: str) -> npt.NDArray[np.float64]:
    """Element `row` of a column of lists, which may be empty; a null in it is NaN. Raises BadTable."""
    if not (_is_list(column.type) and _is_number(column.type.value_type)):
        raise BadTable(f"{name} is a {column.type!s:.120}", "a list of numbers")
    if not column[row].is_valid:
        raise BadTable(f"{name} is null", "a list of numbers, which may be empty")
    values: npt.NDArray[np.float64] = column[row].values.to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def _dense(array: pa.Array, row: int, dimensions: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Element `row` of a nested list column as an array of `dimensions` axes. Raises BadTable if it is ragged."""
    if not array[row].is_valid:
        raise BadTable("a null where numbers should be", f"{dimensions} levels of numbers")
    fixed = _fixed_shape(array.type)
    array = _storage(array)
    shape: list[int] = []
    start, stop = row, row + 1
    while _is_list(array.type):
        count = stop - start
        edges = _edges(array, start, stop)
        lengths = np.unique(np.diff(edges))
        if len(lengths) > 1:
            raise BadTable(f"rows of {lengths[0]} and of {lengths[-1]} numbers in one image", "the same length")
        shape.append(int(lengths[0]) if count else 0)
        start, stop = int(edges[0]), int(edges[-1])
        array = _storage(array.values)
    shape = list(fixed) if fixed else shape
    if len(shape) != dimensions or not _is_number(array.type):
        raise BadTable(f"{len(shape)} levels of {array.type}", f"{dimensions} levels of numbers")
    if 0 in shape:
        raise BadTable(f"an array of shape {tuple(shape)}", "at least one number")
    # A null pixel is NaN: pyarrow gives NaN for the nulls of a column of floats.
    values = array.slice(start, stop - start).to_numpy(zero_copy_only=False)
    dense: npt.NDArray[Any] = np.asarray(values, dtype=dtype).reshape(shape)
    return dense


def _edges(array: pa.Array, start: int, stop: int) -> npt.NDArray[np.int64]:
    if pa.types.is_fixed_size_list(array.type):
        first = array.offset + start
        return np.arange(first, first + stop - start + 1, dtype=np.int64) * int(array.type.list_size)
    edges: npt.NDArray[np.int64] = array.offsets.slice(start, stop - start + 1).to_numpy().astype(np.int64)
    return edges


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _fixed_shape(kind: pa.DataType) -> tuple[int, ...] | None:
    if not isinstance(kind, pa.FixedShapeTensorType):
        return None
    if kind.permutation is not None and list(kind.permutation) != sorted(kind.permutation):
        raise BadTable(f"a tensor of permuted axes {list(kind.permutation)}", "axes in the order band, y, x")
    return tuple(kind.shape)


def _storage(array: pa.Array) -> pa.Array:
    return array.storage if isinstance(array, pa.ExtensionArray) else array
