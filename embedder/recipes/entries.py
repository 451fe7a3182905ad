"""Recipes of what a catalogue says of an object, and of published vectors. Imports numpy.

**What a catalogue does not know** is left out of a sentence, and counted as `unknown-values`; an object of which it
knows nothing that is told is dropped as `empty-entry`. An object whose label is unknown is dropped as
`missing-label`, and never given one.
"""

from __future__ import annotations

import numpy as np

from embedder.recipes.shown import Dropped, Prepared
from embedder.samples import Entry, Observation, Value, Vector
from shared.modalities import Modality

_DIGITS = 4  # significant ones, of a number in a sentence


def tell_entry(observation: Observation, modality: Modality) -> Prepared | Dropped:
    """`sentence-v1`: the columns of a catalogue in one sentence, in the order of the modality.

    Each is told as title, value and unit, as in `r flux 132.6 nanomaggies, J magnitude 15.36 mag.` A number has four
    significant digits, ending noughts too, so that the length of a text says nothing of its object; a whole number
    stands as it is, and words with single spaces. What is unknown, or infinite, is left out and counted.
    """
    values = _as_entry(observation).values
    told = [
        " ".join(f"{column.title or column.name} {words} {column.unit}".split())
        for column in modality.columns
        if (words := _tell(values[column.name]))
    ]
    if not told:
        return Dropped("empty-entry")
    unknown = len(modality.columns) - len(told)
    return Prepared(f"{', '.join(told)}.", {"unknown-values": unknown} if unknown else {})


def give_numbers(observation: Observation, modality: Modality) -> Prepared | Dropped:
    """`numbers-v1`: each column of a catalogue as (x - centre)/scale, `(column,) float32`, in the modality's order.

    Centre and scale stand in the modality, so an object's numbers are its own. An object is dropped as `unknown-number`
    when one of them is unknown or infinite: there is no number that says so.
    """
    values = _as_entry(observation).values
    numbers = np.array([_as_number(values[column.name]) for column in modality.columns])
    given = (numbers - [column.centre for column in modality.columns]) / [column.scale for column in modality.columns]
    with np.errstate(over="ignore"):
        narrow = given.astype(np.float32)
    return Prepared(narrow) if np.isfinite(narrow).all() else Dropped("unknown-number")


def give_vector(observation: Observation, modality: Modality) -> Prepared | Dropped:
    """`vector-v1`: a published vector as the table has it, in single precision, `(d,) float32`.

    One that double precision alone could hold is rounded to the nearest, and counted as `rounded-vectors`.
    """
    if not isinstance(observation, Vector):
        raise TypeError(f"a recipe of vectors was given {modality.name}, a {type(observation).__name__}")
    return Prepared(observation.values, {"rounded-vectors": 1} if observation.rounded else {})


def read_label(observation: Observation, modality: Modality) -> Prepared | Dropped:
    """`label-v1`: the value itself, in single precision; of a word, its place among the classes, from 0.

    Besides an unknown label, one that is infinite, or too large for single precision, is dropped: as `infinite-label`.
    """
    value = _as_entry(observation).values[modality.column]
    if value is None:
        return Dropped("missing-label")
    number = modality.classes.index(str(value)) if modality.classes else value
    with np.errstate(over="ignore"):
        label = np.array([number], np.float32)
    return Prepared(label) if np.isfinite(label).all() else Dropped("infinite-label")


def _as_number(value: Value) -> float:
    return np.nan if value is None or isinstance(value, str) else float(value)


def _tell(value: Value) -> str:
    """Empty for what is unknown, or infinite."""
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return ""
    if isinstance(value, float):
        return f"{value + 0.0:#.{_DIGITS}g}".rstrip(".")  # plus nought: -0 is 0
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _as_entry(observation: Observation) -> Entry:
    if not isinstance(observation, Entry):
        raise TypeError(f"a recipe of catalogues was given a {type(observation).__name__}")
    return observation
