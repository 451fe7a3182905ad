"""How many bytes of a source a pass over its objects will read, where that is known without reading them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from embedder.sources.parquet import ParquetSource
from embedder.sources.tables import find_files
from shared.contracts import DatasetRef
from shared.modalities import Modality
from shared.settings import Settings


def bytes_of_rows(dataset: DatasetRef, modalities: Iterable[Modality], settings: Settings) -> Mapping[str, int]:
    """Bytes of all rows in each modality, by its digest: of a folder of tables, by the footer of its first file.

    Empty for what is elsewhere, or is no table. Raises what finding the files raises.
    """
    if dataset.source != "parquet":
        return {}
    table = ParquetSource(find_files(dataset, settings), dataset.id_column)
    return {modality.digest: round(dataset.rows * table.bytes_of_row(modality)) for modality in modalities}
