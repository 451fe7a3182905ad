"""What a table of published vectors is found to hold, before anything is made of it. Imports pydantic only."""

from __future__ import annotations

from pydantic import BaseModel, Field

from shared.contract import Contract
from shared.names import Name
from shared.requests import ColumnName, DatasetRequest, EmbeddingRequest


class ColumnsRequest(Contract):
    """A table to be looked at.

    modalities: further ones that its columns may be of. told: what some columns are, whatever they are called.
    """

    dataset: DatasetRequest
    modalities: tuple[Name, ...] = Field(default=(), max_length=100)
    told: dict[ColumnName, EmbeddingRequest] = {}


class VectorColumn(BaseModel):
    """A column of vectors, and what it is of."""

    column: str
    model: str
    modality: str
    layer: str
    dimension: int = Field(description="numbers in a vector, as its first row tells")
    type: str = Field(description="what the file holds; float64 is rounded to single precision, and the rows counted")


class OtherColumn(BaseModel):
    """A column that is not known to be the vectors of a model, and why not."""

    column: str
    type: str
    why: str


class TableColumns(BaseModel):
    """The columns of a table. revision: what it is pinned to."""

    dataset: str
    revision: str
    rows: int
    id_column: str | None = Field(description="null: an object's id is its row's position, from 0")
    embeddings: list[VectorColumn]
    others: list[OtherColumn]
