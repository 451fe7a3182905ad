"""The ways of seeing the objects of a dataset, and how each becomes model input. Imports pydantic only."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from shared.contract import Contract
from shared.names import Name, Printable

Kind = Literal["image", "spectrum", "light-curve", "text", "numbers", "vector", "label"]
GIVEN: frozenset[Kind] = frozenset({"numbers", "vector", "label"})
"""Kinds that are given as they stand: no network computes anything of them."""
OF_COLUMNS: frozenset[Kind] = frozenset({"text", "numbers"})
"""Kinds that are made of several plain columns."""
MOST_NUMBERS = 100_000
"""Of one published vector: what is longer is no embedding."""
_WITHOUT_SKY: frozenset[Kind] = GIVEN | OF_COLUMNS


class CatalogueColumn(Contract):
    """A column of numbers or words that is told in a sentence, or of numbers that are given as they are.

    title: what it is called there; empty: its name. missing: what stands for an unknown one, such as -99 or `n/a`.
    centre, scale: a number x is given as (x - centre)/scale, so that columns of different units weigh alike; a sentence
    tells it as it stands. They are chosen beforehand, not taken from the objects at hand.
    """

    LATER = frozenset({"centre", "scale"})

    name: Printable = Field(min_length=1, max_length=128)
    title: Printable = Field(default="", max_length=128)
    unit: Printable = Field(default="", max_length=64)
    missing: tuple[float | str, ...] = Field(default=(), max_length=10)
    centre: float = 0.0
    scale: float = Field(default=1.0, gt=0)


class Modality(Contract):
    """One way of seeing the objects of a dataset, and how it becomes model input.

    kind: `image`, `spectrum`, `light-curve`; `text`, columns of a catalogue told in one sentence; `numbers`, columns of
    a catalogue as one vector; `vector`, an embedding that somebody published; `label`, one known property of the
    objects, which is held against embeddings and is none itself. column: where it stands; none where there are columns.
    columns: of a text or of numbers. unit: of a label, as astropy writes it. classes: the words a label may be; none:
    it is a number. missing: what stands for an unknown label, such as -99 or `n/a`. dimension: the length of a vector;
    made_of: what its publisher's model was shown, where that is known.
    bands: of an image, the bands shown, blue to red: three, or one shown as grey; none of a picture that is in colours
    already. Of a light curve, the one that is followed, or none where there is but one. None of the other kinds.
    field_arcsec: angular size of the centre patch that is shown; None shows the whole image.
    scale_arcsec: arcsec per pixel, used only where the table carries no `scale`.
    cadence_days: of a light curve, the step of time that its samples are averaged in; None takes them as they stand,
    evenly spaced.
    """

    LATER = frozenset({"columns", "unit", "classes", "missing", "dimension", "made_of", "cadence_days"})

    name: Name
    kind: Kind
    column: str = Field(default="", max_length=128)
    recipe: Name
    bands: tuple[str, ...] = ()
    field_arcsec: float | None = Field(default=None, gt=0)
    scale_arcsec: float | None = Field(default=None, gt=0)
    columns: tuple[CatalogueColumn, ...] = Field(default=(), max_length=100)
    unit: Printable = Field(default="", max_length=64)
    classes: tuple[Printable, ...] = Field(default=(), max_length=100)
    missing: tuple[float | str, ...] = Field(default=(), max_length=10)
    dimension: int | None = Field(default=None, ge=1, le=MOST_NUMBERS)
    made_of: Kind | None = None
    cadence_days: float | None = Field(default=None, gt=0)

    @property
    def seen(self) -> Kind:
        """What the model was shown of the objects: its kind; of a published vector, what that was made of, if known."""
        return self.made_of or self.kind

    @model_validator(mode="after")
    def _data_stand_where_their_kind_does(self) -> Self:
        of_columns = self.kind in OF_COLUMNS
        if of_columns and (self.column or not self.columns):
            raise ValueError(f"{self.kind} data are made of `columns`, at least one, and have no `column`")
        if not of_columns and (self.columns or not self.column):
            raise ValueError(f"{self.kind} data stand in one `column`")
        if len({column.name for column in self.columns}) != len(self.columns):
            raise ValueError("`columns` are told once each")
        if self.kind != "numbers" and any((column.centre, column.scale) != (0, 1) for column in self.columns):
            raise ValueError("`centre` and `scale` of columns are for numbers")
        if (self.dimension is None) != (self.kind != "vector"):
            raise ValueError("a vector, and nothing else, has a `dimension`")
        if self.made_of is not None and self.kind != "vector":
            raise ValueError("`made_of` is for a vector")
        return self

    @model_validator(mode="after")
    def _light_curve_is_of_one_band(self) -> Self:
        if self.kind != "light-curve":
            if self.cadence_days is not None:
                raise ValueError("`cadence_days` is for a light curve")
            return self
        if self.field_arcsec or self.scale_arcsec:
            raise ValueError("`field_arcsec` and `scale_arcsec` are for an image")
        if len(self.bands) > 1:
            raise ValueError(f"a light curve is of one band, not {len(self.bands)}: each band is a modality of its own")
        return self

    @model_validator(mode="after")
    def _fields_fit_kind(self) -> Self:
        if self.kind != "label" and (self.unit or self.classes or self.missing):
            raise ValueError("`unit`, `classes` and `missing` are for a label")
        if len(set(self.classes)) != len(self.classes) or len(self.classes) == 1:
            raise ValueError("`classes` are at least two words, each once")
        if any(word != word.strip() or not word for word in self.classes):
            raise ValueError("a class is a word without white space around it")
        if self.kind in _WITHOUT_SKY and (self.bands or self.field_arcsec or self.scale_arcsec):
            raise ValueError("`bands`, `field_arcsec` and `scale_arcsec` are for an image")
        if self.kind == "image" and len(self.bands) not in (0, 1, 3):
            raise ValueError(f"an image is shown by one band or by three, blue to red, not {len(self.bands)}")
        if self.kind == "image" and not self.bands and (self.field_arcsec or self.scale_arcsec):
            raise ValueError("a picture without `bands` is shown whole: it has no `field_arcsec` and no `scale_arcsec`")
        return self
