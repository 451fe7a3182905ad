"""What a user asks for: a study, before its revisions are resolved and its jobs and pairs expanded."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from shared.contracts import Contract, Kind, PairPolicy, Scoring
from shared.names import Name, Revision

_HUB_ID = re.compile(r"[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?/[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?", re.ASCII)


def _check_hub_id(hub_id: str) -> str:
    """As the hub's own client has it (huggingface_hub 2), which would otherwise refuse it with an error of its own."""
    if not _HUB_ID.fullmatch(hub_id) or "--" in hub_id or ".." in hub_id or hub_id.endswith(".git"):
        raise ValueError("a hub id is OWNER/NAME, of letters, digits, '-', '_' and '.', without '--', '..' or '.git'")
    return hub_id


def _check_printable(text: str) -> str:
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise ValueError("should have no control characters")
    return text


Printable = Annotated[str, AfterValidator(_check_printable)]


class ModalityRequest(Contract):
    """How a user's own table shows one modality. Fields as in `shared.contracts.Modality`."""

    column: str = Field(min_length=1, max_length=128)
    kind: Kind = "image"
    recipe: Name = "arcsinh-image-v1"
    bands: tuple[str, ...] = ()
    field_arcsec: float | None = Field(default=None, gt=0)
    scale_arcsec: float | None = Field(default=None, gt=0)


class DatasetRequest(Contract):
    """A dataset of the catalogue by name, or a user's own: a folder of Parquet files, or a hub id.

    limit: take the first `limit` rows only. modalities: names, to take some of a catalogue dataset's;
    definitions, for a dataset of one's own.
    """

    name: Name
    limit: int | None = Field(default=None, gt=0)
    revision: Revision | None = None
    folder: str | None = Field(default=None, min_length=1, max_length=4096)
    hub: Annotated[str, AfterValidator(_check_hub_id)] | None = Field(default=None, max_length=96)
    split: Name = "train"
    id_column: str | None = Field(default=None, min_length=1, max_length=128)
    modalities: tuple[Name, ...] | dict[Name, ModalityRequest] = ()

    @model_validator(mode="after")
    def _own_or_catalogue(self) -> Self:
        if self.folder and self.hub:
            raise ValueError("give `folder` or `hub`, not both")
        own = bool(self.folder or self.hub)
        if own != isinstance(self.modalities, dict):
            raise ValueError(
                "a dataset of your own (`folder` or `hub`) defines its modalities as a mapping; "
                "a catalogue dataset names them in a list, or leaves them out to take all"
            )
        if not own and self.id_column:
            raise ValueError("`id_column` is for a dataset of your own; the catalogue has its own")
        return self


class StudyRequest(Contract):
    """Datasets x models x layers x pair policies x scoring.

    layers: `final`, blocks by name (`block-03`), or `all` that a model has.
    """

    title: Printable = Field(default="", max_length=200)
    datasets: tuple[DatasetRequest, ...] = Field(min_length=1, max_length=100)
    models: tuple[Name, ...] = Field(min_length=1, max_length=1000)
    layers: tuple[Name, ...] = Field(default=("final",), min_length=1, max_length=100)
    pairs: tuple[PairPolicy, ...] = Field(default=("crossmodal",), min_length=1)
    scoring: Scoring = Scoring()

    @field_validator("datasets", mode="before")
    @classmethod
    def _bare_names(cls, datasets: object) -> object:
        if isinstance(datasets, list | tuple):
            return [{"name": entry} if isinstance(entry, str) else entry for entry in datasets]
        return datasets

    @field_validator("models", "layers", "pairs")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(names))
