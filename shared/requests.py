"""What a user asks for: a study, before its revisions are resolved and its jobs and pairs expanded."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from shared.contracts import Contract, Kind, PairPolicy, Scoring
from shared.names import Name, Revision


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
    folder: str | None = None
    hub: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}$")
    split: Name = "train"
    id_column: str | None = None
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
    """Datasets x models x pair policies x scoring."""

    title: str = Field(default="", max_length=200)
    datasets: tuple[DatasetRequest, ...] = Field(min_length=1, max_length=100)
    models: tuple[Name, ...] = Field(min_length=1, max_length=1000)
    pairs: tuple[PairPolicy, ...] = Field(default=("crossmodal",), min_length=1)
    scoring: Scoring = Scoring()

    @field_validator("datasets", mode="before")
    @classmethod
    def _bare_names(cls, datasets: object) -> object:
        if isinstance(datasets, list | tuple):
            return [{"name": entry} if isinstance(entry, str) else entry for entry in datasets]
        return datasets

    @field_validator("models", "pairs")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(names))
