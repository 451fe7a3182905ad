"""What a user asks for: a study, before its revisions are resolved and its jobs and pairs expanded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticKnownError

from shared.contract import Contract
from shared.contracts import Dtype, PairPolicy, Scoring
from shared.modalities import OF_COLUMNS, CatalogueColumn, Kind, Modality
from shared.names import Name, Printable, Revision

ColumnName = Annotated[Printable, Field(min_length=1, max_length=128)]

_HUB_ID = re.compile(r"[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?/[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?", re.ASCII)


def _check_hub_id(hub_id: str) -> str:
    """As the hub's own client has it (huggingface_hub 2), which would otherwise refuse it with an error of its own."""
    if not _HUB_ID.fullmatch(hub_id) or "--" in hub_id or ".." in hub_id or hub_id.endswith(".git"):
        raise ValueError("a hub id is OWNER/NAME, of letters, digits, '-', '_' and '.', without '--', '..' or '.git'")
    return hub_id


VECTOR_RECIPE = "vector-v1"
"""By which a row of scores tells vectors that were published from those that were computed here."""
_RECIPES: Mapping[Kind, Name] = MappingProxyType(
    {
        "image": "arcsinh-image-v1",
        "spectrum": "spectrum-v1",
        "light-curve": "light-curve-v1",
        "text": "sentence-v1",
        "numbers": "numbers-v1",
        "vector": VECTOR_RECIPE,
        "label": "label-v1",
    }
)


def _bare_name(column: object) -> object:
    return {"name": column} if isinstance(column, str) else column


class ModalityRequest(Contract):
    """How a user's own table shows one modality. Fields as in `shared.contracts.Modality`.

    column: of an image, a spectrum or a light curve. columns: of a text or of numbers; a bare name stands for a column
    without title and unit. recipe: left out, the plain one of its kind. An image without bands is a picture, encoded as
    PNG or JPEG.
    """

    kind: Literal["image", "spectrum", "light-curve", "text", "numbers"] = "image"
    column: Printable = Field(default="", max_length=128, validate_default=True)
    columns: tuple[
        Annotated[CatalogueColumn, BeforeValidator(_bare_name, json_schema_input_type=str | CatalogueColumn)], ...
    ] = Field(default=(), max_length=100, validate_default=True)
    recipe: Name | None = None
    bands: tuple[str, ...] = ()
    field_arcsec: float | None = Field(default=None, gt=0)
    scale_arcsec: float | None = Field(default=None, gt=0)
    cadence_days: float | None = Field(default=None, gt=0)

    @field_validator("column", "columns")
    @classmethod
    def _where_its_data_stand(cls, given: object, info: ValidationInfo) -> object:
        wanted = "columns" if info.data.get("kind") in OF_COLUMNS else "column"
        if info.field_name == wanted and not given:
            raise PydanticKnownError("missing")
        if info.field_name != wanted and given:
            raise ValueError(f"a modality of this kind has `{wanted}`")
        return given

    def define(self, name: str) -> Modality:
        """The modality of this name. Raises pydantic's ValidationError for fields that do not go together."""
        fields = self.model_dump(exclude={"recipe"})
        plain = "picture-v1" if self.kind == "image" and not self.bands else _RECIPES[self.kind]
        return Modality(name=name, recipe=self.recipe or plain, **fields)


class LabelRequest(Contract):
    """One property of the objects of a user's own table. Fields as in `shared.contracts.Modality`."""

    column: Printable = Field(min_length=1, max_length=128)
    unit: Printable = Field(default="", max_length=64)
    classes: tuple[Printable, ...] = Field(default=(), max_length=100)
    missing: tuple[float | str, ...] = Field(default=(), max_length=10)

    def define(self, name: str) -> Modality:
        """The label of this name, as a modality. Raises pydantic's ValidationError as above."""
        return Modality(name=name, kind="label", recipe=_RECIPES["label"], **self.model_dump())


class EmbeddingRequest(Contract):
    """What a column of published vectors is of: a model of the catalogue, and a modality."""

    model: Name
    modality: Name
    layer: Name = "final"

    def define(self, column: str, dimension: int, made_of: Kind) -> Modality:
        """The modality of this column, whose vectors have `dimension` numbers."""
        return Modality(
            name=self.modality,
            kind="vector",
            column=column,
            recipe=_RECIPES["vector"],
            dimension=dimension,
            made_of=made_of,
        )


class DatasetRequest(Contract):
    """A dataset of the catalogue by name, or a user's own: a folder of Parquet files, one such file, or a hub id.

    limit: take the first `limit` rows only. modalities: names, to take some of a catalogue dataset's;
    definitions, for a dataset of one's own. labels: what is known of the objects, for the pair policy `probes`: names
    or definitions likewise; left out: all that a catalogue dataset has. embeddings: of a dataset of one's own, columns
    of vectors that were published, and what each is; `all`: every column that is called as the catalogue would call it.
    """

    name: Name
    limit: int | None = Field(default=None, gt=0)
    revision: Revision | None = None
    folder: str | None = Field(default=None, min_length=1, max_length=4096)
    hub: Annotated[str, AfterValidator(_check_hub_id)] | None = Field(default=None, max_length=96)
    split: Name = "train"
    id_column: str | None = Field(default=None, min_length=1, max_length=128)
    modalities: tuple[Name, ...] | dict[Name, ModalityRequest] = ()
    labels: tuple[Name, ...] | dict[Name, LabelRequest] = ()
    embeddings: Literal["all"] | dict[ColumnName, EmbeddingRequest] | None = None

    @model_validator(mode="after")
    def _own_or_catalogue(self) -> Self:
        if self.folder and self.hub:
            raise ValueError("give `folder` or `hub`, not both")
        own = bool(self.folder or self.hub)
        if self.embeddings is not None and not (own and self.embeddings):
            raise ValueError(
                "`embeddings` are `all`, or a mapping of some columns, of a dataset of your own (`folder` or `hub`)"
            )
        if not (self.embeddings and not self.modalities) and own != isinstance(self.modalities, dict):
            raise ValueError(
                "a dataset of your own (`folder` or `hub`) defines its modalities as a mapping; "
                "a catalogue dataset names them in a list, or leaves them out to take all"
            )
        if self.labels and own != isinstance(self.labels, dict):
            raise ValueError(
                "a dataset of your own defines its labels as a mapping; a catalogue dataset names them in a list, or "
                "leaves them out to take all"
            )
        both = sorted(set(self.labels) & set(self.modalities)) if own else []
        if both:
            raise ValueError(f"{both[0]} is a modality and a label: give one of them another name")
        if not own and self.id_column:
            raise ValueError("`id_column` is for a dataset of your own; the catalogue has its own")
        return self


class StudyRequest(Contract):
    """Datasets x models x layers x pair policies x scoring.

    models: none are needed where every dataset brings its embeddings. layers: `final`, blocks by name (`block-03`), or
    `all` that a model has. dtype: what networks compute in.
    """

    title: Printable = Field(default="", max_length=200)
    datasets: tuple[DatasetRequest, ...] = Field(min_length=1, max_length=100)
    models: tuple[Name, ...] = Field(default=(), max_length=1000, validate_default=True)
    layers: tuple[Name, ...] = Field(default=("final",), min_length=1, max_length=100)
    dtype: Dtype = "float32"
    pairs: tuple[PairPolicy, ...] = Field(default=("crossmodal",), min_length=1)
    scoring: Scoring = Scoring()

    @field_validator("datasets", mode="before")
    @classmethod
    def _bare_names(cls, datasets: object) -> object:
        if isinstance(datasets, list | tuple):
            return [{"name": entry} if isinstance(entry, str) else entry for entry in datasets]
        return datasets

    @model_validator(mode="after")
    def _something_computes(self) -> Self:
        if not self.models and (self.dtype != "float32" or self.layers != ("final",)):
            raise ValueError("`dtype` and `layers` are for models that compute: published vectors are as they are")
        return self

    @model_validator(mode="after")
    def _labels_are_used(self) -> Self:
        named = [dataset.name for dataset in self.datasets if dataset.labels and not isinstance(dataset.labels, dict)]
        if named and "probes" not in self.pairs:
            raise ValueError(f"labels of {named[0]} are named, but `pairs` has no `probes` that would use them")
        return self

    @field_validator("models", mode="before")
    @classmethod
    def _some_model(cls, given: object, info: ValidationInfo) -> object:
        datasets = info.data.get("datasets", ())  # none where they are refused themselves
        computed = any(dataset.modalities or not dataset.embeddings for dataset in datasets)
        if computed and given == ():
            raise PydanticKnownError("missing")
        if computed and given == []:
            raise PydanticKnownError("too_short", {"field_type": "Tuple", "min_length": 1, "actual_length": 0})
        return given

    @field_validator("models", "layers", "pairs")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(names))
