"""Comparisons among a study's scores: steps of size, object by object; alignment against probes, model by model."""

from __future__ import annotations

from typing import Annotated

from flask import Response
from pydantic import BaseModel, Field

from scorer.link import Link, measure_links, points_of
from scorer.overviews.differences import SizeStep, size_steps
from services.api.choosing import ResultQuery, choose_metric, choose_probe, choose_result
from services.api.endpoint import Endpoint
from services.api.tables import MEDIA, TableMeta, TablePage, TableQuery, answer_rows
from services.studies import Studies
from shared.columns import PROBABILITY, UNPRINTED


class StepQuery(TableQuery, ResultQuery):
    """Which result of each pair."""


class LinkQuery(TableQuery):
    """What is held against what."""

    metric: str | None = Field(default=None, max_length=64, description="of the pairs; the study's first, unless given")
    probe: str | None = Field(default=None, max_length=64, description="of the labels; the study's first, unless given")
    k: int | None = Field(
        default=None, ge=1, le=1000, description="neighbours, by whichever of the two counts them; the first"
    )


class LinkRow(BaseModel):
    """Whether alignment of two modalities rises with what a probe tells of a label, over the models of a dataset."""

    dataset: str
    dataset_digest: Annotated[str, UNPRINTED] = Field(description="tells apart cuts of a dataset of one name")
    simulated: bool
    label: str
    left_modality: str
    right_modality: str
    left_layer: str
    right_layer: str
    models: int
    families: int
    spearman: float | None = Field(description="rank correlation, -1 to 1")
    kendall: float | None = Field(description="tau-b, -1 to 1")
    spearman_p: Annotated[float | None, PROBABILITY] = Field(description="one-sided; null for fewer than five models")
    kendall_p: Annotated[float | None, PROBABILITY] = Field(description="the same")
    permutations: int = Field(description="orders drawn; 0 where all were counted, or none")
    note: str

    @property
    def key(self) -> tuple[str, ...]:
        """Its place."""
        modalities, layers = (self.left_modality, self.right_modality), (self.left_layer, self.right_layer)
        return (self.dataset, self.dataset_digest, self.label, *modalities, *layers)

    @classmethod
    def of(cls, link: Link, *, simulated: bool) -> LinkRow:
        """The row of a link. simulated: whether its dataset is."""
        (left, right), (left_layer, right_layer) = link.modalities, link.layers
        told = link.model_dump(exclude={"modalities", "layers"})
        return cls(
            left_modality=left,
            right_modality=right,
            left_layer=left_layer,
            right_layer=right_layer,
            simulated=simulated,
            **told,
        )


def list_differences(studies: Studies, study: str, query: StepQuery) -> Response:
    """The steps to the next larger size of a study's families. Raises AlteredPart for a score's damaged values."""
    found = studies.find(study)
    metric, k = choose_result(found, query.metric, query.k)
    rows = size_steps(studies.scores(studies.scored(found)), studies.results.objects, metric=metric, k=k)
    meta = TableMeta.of("differences", found, metric=metric, k=k)
    return answer_rows(query, SizeStep, rows, lambda row: row.key, meta=meta, what="Steps to the next larger model")


def list_links(studies: Studies, study: str, query: LinkQuery) -> Response:
    """Alignment against probes, over a study's models. Raises UnknownName, RefusedQuery."""
    found = studies.find(study)
    metric = choose_metric(found, query.metric)
    probe = choose_probe(found, query.probe)
    points = points_of(studies.scores(studies.scored(found)), metric=metric, probe=probe, k=query.k)
    simulated = {spec.dataset.digest for spec in found.embeddings if spec.dataset.simulated}
    measured = measure_links(points, seed=found.scoring.seed)
    rows = [LinkRow.of(link, simulated=link.dataset_digest in simulated) for link in measured]
    meta = TableMeta.of("links", found, metric=metric, k=query.k)
    return answer_rows(query, LinkRow, rows, lambda row: row.key, meta=meta, what=f"{metric} against {probe}")


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/studies/<study>/differences",
        list_differences,
        "Each step to the next larger model of a family, object by object: is it really better?",
        TablePage[SizeStep],
        query=StepQuery,
        media=MEDIA,
        errors=(404, 406),
    ),
    Endpoint(
        "GET",
        "/v1/studies/<study>/links",
        list_links,
        "Whether models that agree more over modalities know more of a label",
        TablePage[LinkRow],
        query=LinkQuery,
        media=MEDIA,
        errors=(404, 406),
    ),
)
