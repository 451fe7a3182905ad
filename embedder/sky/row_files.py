"""Rows on their way into a folder: Parquet files of bounded row groups, and rows set aside to be taken in any order.

Imports numpy and pyarrow.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq


class PartFiles:
    """Writes batches of one schema to `part-00000.parquet`, `part-00001.parquet`, ... of a folder.

    rows_in_group, rows_in_file: at most so many. Without any batch, one file of no rows.
    """

    def __init__(self, folder: Path, schema: pa.Schema, rows_in_group: int, rows_in_file: int) -> None:
        folder.mkdir(parents=True)
        self._folder, self._schema = folder, schema
        self._group, self._most = rows_in_group, rows_in_file
        self._waiting: list[pa.RecordBatch] = []
        self._writer: pq.ParquetWriter | None = None
        self._rows_waiting, self._in_file, self._files = 0, 0, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._write()
                if not self._files:
                    self._open()
        finally:
            if self._writer is not None:
                self._writer.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Some more rows."""
        self._waiting.append(batch)
        self._rows_waiting += batch.num_rows
        if self._rows_waiting >= self._group:
            self._write()

    def _write(self) -> None:
        waiting = pa.Table.from_batches(self._waiting, self._schema)
        self._waiting, self._rows_waiting = [], 0
        for start in range(0, waiting.num_rows, self._group):
            rows = waiting.slice(start, self._group)
            if self._writer is None or self._in_file + rows.num_rows > self._most:
                self._open()
            assert self._writer is not None
            self._writer.write_table(rows, row_group_size=self._group)
            self._in_file += rows.num_rows

    def _open(self) -> None:
        if self._writer is not None:
            self._writer.close()
        path = self._folder / f"part-{self._files:05d}.parquet"
        self._writer = pq.ParquetWriter(path, self._schema)
        self._files, self._in_file = self._files + 1, 0


class SetAside:
    """Rows in a file, which memory need not hold, to be taken again in any order.

    Written by `add`, from the first to the last; then read by `take`.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._writer: pa.RecordBatchFileWriter | None = pa.ipc.new_file(path, schema)
        self._batches: list[pa.RecordBatch] = []
        self._edges: list[int] = [0]

    def add(self, batch: pa.RecordBatch) -> None:
        """Some more rows."""
        assert self._writer is not None, "what is read is no longer written"
        if batch.num_rows:
            self._writer.write_batch(batch)
            self._edges.append(self._edges[-1] + batch.num_rows)

    def take(self, places: npt.NDArray[np.int64]) -> pa.RecordBatch:
        """The rows that were put in at these places, from 0, in this order."""
        self._begin_reading()
        chunk = np.searchsorted(self._edges, places, side="right") - 1
        order = np.argsort(chunk, kind="stable")
        taken = [
            self._batches[index].take(pa.array(places[order][chunk[order] == index] - self._edges[index]))
            for index in np.unique(chunk)
        ]
        back = np.empty(len(places), np.int64)
        back[order] = np.arange(len(places))
        return pa.concat_batches(taken).take(pa.array(back))

    def _begin_reading(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            opened = pa.ipc.open_file(pa.memory_map(str(self._path)))
            self._batches = [opened.get_batch(index) for index in range(opened.num_record_batches)]
