"""What there is: models and datasets to choose from, and the embeddings that are whole."""

from __future__ import annotations

from typing import NamedTuple

from flask import Response
from pydantic import BaseModel, Field

from embedder.catalogue.datasets import known_datasets
from embedder.catalogue.models import known_models, listed_models
from embedder.catalogue.rows import DatasetRow, ModelRow
from services.api.endpoint import Endpoint
from services.api.held import unless_held
from services.api.paging import Key, Page, PageQuery, cut_page, kept_page_response, page_response
from services.studies import Studies
from shared import keys
from shared.outcomes import Manifest


class ModelQuery(PageQuery):
    """Which models. A family that is not listed by default, such as `fake`, is found by its name."""

    family: str | None = None


class EmbeddingQuery(PageQuery):
    """Which embeddings."""

    dataset: str | None = None
    modality: str | None = None
    model: str | None = None
    family: str | None = None


class EmbeddingRow(BaseModel):
    """One whole embedding. embedding: its digest. parameters: millions. dropped, repaired: objects, values, by kind."""

    embedding: str
    dataset: str
    dataset_revision: str
    simulated: bool
    modality: str
    recipe: str
    model: str
    family: str
    parameters: float
    revision: str
    layer: str
    rows: int = Field(description="vectors")
    dimension: int
    parts: int
    dropped: dict[str, int]
    repaired: dict[str, int]
    device: str
    created_at: str

    @property
    def key(self) -> Key:
        """The row's place: by dataset, modality, family and size; unique by digest."""
        return (self.dataset, self.modality, self.family, self.parameters, self.embedding)


class KeptEmbedding(NamedTuple):
    """A row as it is kept: what it is placed and chosen by, and itself as JSON."""

    key: Key
    modality: str
    model: str
    family: str
    json: bytes

    @classmethod
    def of(cls, row: EmbeddingRow) -> KeptEmbedding:
        """This row."""
        return cls(row.key, row.modality, row.model, row.family, row.model_dump_json().encode())


def list_models(_: Studies, query: ModelQuery) -> Response:
    """Models, family by family, small to large."""
    rows = listed_models() if query.family is None else known_models().values()
    wanted = [row for row in rows if query.family in (None, row.family)]
    page, following = cut_page(
        wanted, lambda row: (row.family, row.parameters, row.name), limit=query.limit, cursor=query.cursor
    )
    return page_response(Page[ModelRow], page, following)


def list_datasets(_: Studies, query: PageQuery) -> Response:
    """Datasets by name."""
    page, following = cut_page(
        known_datasets().values(), lambda row: (row.name,), limit=query.limit, cursor=query.cursor
    )
    return page_response(Page[DatasetRow], page, following)


def list_embeddings(studies: Studies, query: EmbeddingQuery) -> Response:
    """Embeddings that are whole."""
    room = keys.of_dataset(keys.EMBEDDINGS, query.dataset)
    kept = studies.results.embeddings(_keep_embedding)
    listed = kept.listed(studies.told)

    def as_page() -> Response:
        wanted = [
            row
            for (row,) in kept.all(listed, listed.under(room))
            if query.modality in (None, row.modality)
            and query.model in (None, row.model)
            and query.family in (None, row.family)
        ]
        return kept_page_response(*cut_page(wanted, lambda row: row.key, limit=query.limit, cursor=query.cursor))

    return unless_held(as_page, listed.fingerprint(room))


def _keep_embedding(manifest: Manifest) -> tuple[KeptEmbedding]:
    return (KeptEmbedding.of(_embedding_row(manifest)),)


def _embedding_row(manifest: Manifest) -> EmbeddingRow:
    spec = manifest.spec
    return EmbeddingRow(
        embedding=spec.digest,
        dataset=spec.dataset.name,
        dataset_revision=spec.dataset.revision,
        simulated=spec.dataset.simulated,
        modality=spec.modality.name,
        recipe=spec.recipe,
        model=spec.model.name,
        family=spec.model.family,
        parameters=spec.model.parameters,
        revision=spec.model.revision,
        layer=spec.layer,
        rows=manifest.rows,
        dimension=manifest.dimension,
        parts=len(manifest.parts),
        dropped=manifest.dropped,
        repaired=manifest.repaired,
        device=manifest.device,
        created_at=manifest.created_at,
    )


ENDPOINTS = (
    Endpoint("GET", "/v1/models", list_models, "Models to choose from", Page[ModelRow], query=ModelQuery),
    Endpoint("GET", "/v1/datasets", list_datasets, "Datasets to choose from", Page[DatasetRow], query=PageQuery),
    Endpoint(
        "GET", "/v1/embeddings", list_embeddings, "Whole embeddings, filtered", Page[EmbeddingRow], query=EmbeddingQuery
    ),
)
