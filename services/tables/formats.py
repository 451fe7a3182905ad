"""The files a table is written to: one row per format, with its media type and its writer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from services.tables.csv_file import csv_pieces, to_csv
from services.tables.ecsv_file import to_ecsv
from services.tables.latex_file import to_latex
from services.tables.parquet_file import to_parquet
from services.tables.table import Table

FormatName = Literal["csv", "parquet", "ecsv", "latex"]


@dataclass(frozen=True, slots=True)
class Format:
    """One format. media: of ECSV and LaTeX no media type is registered; these are ours. suffix: of a file's name.

    pieces: the same bytes as `write`, made as they are sent, where the format can be written without knowing all rows.
    """

    name: FormatName
    media: str
    suffix: str
    write: Callable[[Table], bytes]
    pieces: Callable[[Table], Iterator[bytes]] | None = None


FORMATS: dict[FormatName, Format] = {
    form.name: form
    for form in (
        Format("csv", "text/csv", "csv", to_csv, csv_pieces),
        Format("parquet", "application/vnd.apache.parquet", "parquet", to_parquet),
        Format("ecsv", "text/x-ecsv", "ecsv", to_ecsv),
        Format("latex", "application/x-latex", "tex", to_latex),
    )
}
