"""The look at a table before a study is accepted: its footers, ids and labels, and its first row in each modality."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embedder.framing import cut_patch
from embedder.recipes import Prepared, check_recipe, find_recipe
from embedder.samples import Image, LightCurve
from embedder.sources.parquet import ParquetSource
from embedder.sources.tables import find_files
from shared.contracts import DatasetRef
from shared.errors import BadName, BadTable, DuplicateObjectIds, EmptyDataset
from shared.modalities import Modality
from shared.names import check_object_id
from shared.requests import DatasetRequest
from shared.settings import Settings


def refer(
    request: DatasetRequest, source: str, location: str, revision: str, id_column: str | None = None
) -> DatasetRef:
    """The dataset as asked for, before its rows are counted. id_column: where the request names none."""
    return DatasetRef(
        name=request.name,
        revision=revision,
        source=source,
        location=location,
        split=request.split,
        id_column=request.id_column or id_column,
        rows=request.limit or 1,
    )


def look_at(dataset: DatasetRef, modalities: Sequence[Modality], limit: int | None, settings: Settings) -> DatasetRef:
    """The dataset with its rows counted. Raises what `check_table`, `check_recipe` and finding its files raise."""
    for modality in modalities:
        check_recipe(modality)
    table = ParquetSource(find_files(dataset, settings), dataset.id_column)
    return dataset.model_copy(update={"rows": check_table(table, modalities, limit, dataset)})


def check_table(table: ParquetSource, modalities: Sequence[Modality], limit: int | None, dataset: DatasetRef) -> int:
    """The number of rows to take: all, or `limit`.

    Raises EmptyDataset, BadTable for a file or a column that cannot be read and for a label that tells no objects
    apart, MissingColumn, MissingBand, BadInput for a field larger than the image and for a light curve of uneven
    samples, and DuplicateObjectIds.
    """
    rows = table.count_rows(limit)
    if rows == 0:
        raise EmptyDataset(f"split {dataset.split} of {dataset.name} has no rows", "at least one")
    for modality in modalities:
        first = next(table.read(modality, 0, 1)).observation
        if isinstance(first, Image):
            cut_patch(first, modality)
        if isinstance(first, LightCurve):
            find_recipe(modality.recipe).prepare(first, modality)
        if modality.kind == "label":
            _check_label(table, modality, rows)
    if dataset.id_column is not None:
        _check_ids(table, rows)
    return rows


def _check_label(table: ParquetSource, label: Modality, rows: int) -> None:
    """All rows are read, of one plain column, so that a word that is no class is refused with its row here and now."""
    recipe = find_recipe(label.recipe)
    shown = (recipe.prepare(sample.observation, label) for sample in table.read(label, 0, rows))
    known = [float(np.asarray(found.values)[0]) for found in shown if isinstance(found, Prepared)]
    if len(set(known)) < 2:
        raise BadTable(
            f"label {label.name} in column {label.column} is known of {len(known)} of {rows} objects"
            + (", all alike" if known else ""),
            "two values at least, to tell objects apart",
            "name another column, or leave the label out",
        )


def _check_ids(table: ParquetSource, rows: int) -> None:
    seen: dict[str, tuple[str, int]] = {}
    for file, row, object_id in table.read_ids(rows):
        try:
            check_object_id(object_id)
        except BadName as error:
            raise BadTable(f"{file}, row {row}: {error.wrong}", error.expected) from error
        if object_id in seen:
            first_file, first_row = seen[object_id]
            raise DuplicateObjectIds(
                f"object id {object_id!r} stands in {first_file}, row {first_row}, and in {file}, row {row}",
                "each object once",
                "choose an id column whose values are unique, or leave it out to use the row's position",
            )
        seen[object_id] = (file, row)
