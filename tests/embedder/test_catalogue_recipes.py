"""Laws of the recipes of catalogues: sentences, and labels."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from embedder.recipes import Dropped, Prepared, check_recipe, find_recipe
from embedder.samples import Entry, Image, Value
from shared.errors import BadStudy
from shared.modalities import CatalogueColumn, Modality

NUMBERS = some.floats(allow_nan=False, allow_infinity=False, width=32)
WORDS = some.text(some.characters(categories=("L", "N", "P")), min_size=1, max_size=8)
VALUES: some.SearchStrategy[Value] = some.none() | NUMBERS | WORDS | some.integers(-(10**12), 10**12) | some.booleans()


def told_by(*columns: CatalogueColumn) -> Modality:
    return Modality(name="catalogue", kind="text", recipe="sentence-v1", columns=columns)


def tell(modality: Modality, **values: Value) -> Prepared | Dropped:
    return find_recipe(modality.recipe).prepare(Entry(values), modality)


def tell_one(value: Value) -> str:
    prepared = tell(told_by(CatalogueColumn(name="x")), x=value)
    assert isinstance(prepared, Prepared)
    assert isinstance(prepared.values, str)
    return prepared.values


def labelled(**fields: tuple[str, ...]) -> Modality:
    return Modality(name="z", kind="label", column="z", recipe="label-v1", **fields)


def read(modality: Modality, value: Value) -> Prepared | Dropped:
    return find_recipe("label-v1").prepare(Entry({"z": value}), modality)


PHOTOMETRY = told_by(
    CatalogueColumn(name="flux_r", title="r flux", unit="nanomaggies"),
    CatalogueColumn(name="tmass_J", title="J  magnitude ", unit="mag"),
    CatalogueColumn(name="type"),
    CatalogueColumn(name="n_obs"),
)


def test_a_sentence_reads_as_the_documentation_says() -> None:
    prepared = tell(PHOTOMETRY, flux_r=132.567825, tmass_J=15.361, type="E\n  S0", n_obs=12345)
    assert prepared == Prepared("r flux 132.6 nanomaggies, J magnitude 15.36 mag, type E S0, n_obs 12345.")


def test_what_is_unknown_or_infinite_is_left_out_and_counted() -> None:
    prepared = tell(PHOTOMETRY, flux_r=None, tmass_J=math.inf, type="E", n_obs=0)
    assert prepared == Prepared("type E, n_obs 0.", {"unknown-values": 2})
    assert tell(PHOTOMETRY, flux_r=None, tmass_J=-math.inf, type=None, n_obs=None) == Dropped("empty-entry")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (15.6, "15.60"),
        (1234.4, "1234"),
        (123456.0, "1.235e+05"),
        (0.00001234, "1.234e-05"),
        (-0.0, "0.000"),
        (0.0, "0.000"),
        (-1.5, "-1.500"),
        (float(np.float32(0.1)), "0.1000"),
        (0, "0"),
        (True, "yes"),
        (False, "no"),
        ("a\tb", "a b"),
    ],
)
def test_a_value_is_told_in_one_way(value: Value, told: str) -> None:
    assert tell_one(value) == f"x {told}."


@given(NUMBERS)
def test_a_number_is_told_to_four_digits_whatever_it_is(number: float) -> None:
    digits = tell_one(number).removeprefix("x ").removesuffix(".")
    assert float(digits) == pytest.approx(number, rel=5.1e-4, abs=0)
    assert len(re.sub(r"\D", "", digits.partition("e")[0].lstrip("-0."))) == (4 if number else 0)


@given(some.lists(VALUES, min_size=1, max_size=6))
def test_a_sentence_has_each_known_column_once_in_order(given_: list[Value]) -> None:
    columns = tuple(CatalogueColumn(name=f"column{place}", unit="Jy") for place in range(len(given_)))
    entry = {column.name: value for column, value in zip(columns, given_, strict=True)}
    prepared = tell(told_by(*columns), **entry)
    known = [name for name, value in entry.items() if value is not None]
    if not known:
        assert prepared == Dropped("empty-entry")
        return
    assert isinstance(prepared, Prepared)
    assert re.findall(r"column\d", str(prepared.values)) == known
    assert str(prepared.values).count(" Jy") == len(known)
    assert sum(prepared.repaired.values()) == len(given_) - len(known)
    assert tell(told_by(*columns), **dict(reversed(entry.items()))) == prepared


@given(NUMBERS | some.integers(-(2**24), 2**24) | some.booleans())
def test_a_label_is_itself(number: float) -> None:
    prepared = read(labelled(), number)
    assert isinstance(prepared, Prepared)
    assert isinstance(prepared.values, np.ndarray)
    assert (prepared.values.shape, prepared.values.dtype) == ((1,), np.dtype(np.float32))
    assert prepared.values[0] == number
    assert not prepared.repaired


def test_a_class_is_its_place_among_the_classes() -> None:
    kinds = labelled(classes=("I", "II", "0"))
    for place, word in enumerate(kinds.classes):
        prepared = read(kinds, word)
        assert isinstance(prepared, Prepared)
        assert prepared.values[0] == place


def test_an_unknown_label_is_dropped_and_never_made_up() -> None:
    assert read(labelled(), None) == Dropped("missing-label")
    assert read(labelled(classes=("I", "II")), None) == Dropped("missing-label")
    for number in (math.inf, -math.inf, 1e300):
        assert read(labelled(), number) == Dropped("infinite-label")


def test_each_kind_has_its_recipes() -> None:
    check_recipe(PHOTOMETRY)
    check_recipe(labelled())
    with pytest.raises(BadStudy, match="is for label data, not text; expected one of sentence-v1"):
        check_recipe(PHOTOMETRY.model_copy(update={"recipe": "label-v1"}))
    with pytest.raises(BadStudy, match="is for text data, not label; expected one of label-v1"):
        check_recipe(labelled().model_copy(update={"recipe": "sentence-v1"}))
    for recipe in ("label-v1", "sentence-v1"):
        with pytest.raises(TypeError, match="given a Image"):
            find_recipe(recipe).prepare(Image((), np.zeros((0, 1, 1), np.float32), 1.0), labelled())
