"""Where the command line writes: tables and data to standard output or a file, faults to standard error."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import typer
from rich.console import Console, Group
from rich.table import Table

from services.tables.formats import FormatName
from shared.errors import BadInput, Retryable, SameSkyError

_FILE_WIDTH = 120


class ListFormat(StrEnum):
    """How a list is written."""

    TABLE = "table"
    JSON = "json"


class TableFormat(StrEnum):
    """How a table of results is written."""

    TABLE = "table"
    CSV = "csv"
    ECSV = "ecsv"
    LATEX = "latex"
    PARQUET = "parquet"
    JSON = "json"

    @property
    def file(self) -> FormatName | None:
        """The format of a file that the api makes; None for what is written here."""
        return next((name for name in get_args(FormatName) if name == self.value), None)


def exit_status(error: SameSkyError) -> int:
    """1: work failed; 2: bad input; 3: something did not answer."""
    if isinstance(error, Retryable):
        return 3
    return 2 if isinstance(error, BadInput) else 1


def complain(message: object) -> None:
    """One line on standard error."""
    typer.echo(f"samesky: {' '.join(str(message).split())}", err=True)


def show(console: Console, *things: str | Table | Group) -> None:
    """Lines, unbroken, and tables."""
    for thing in things:
        if isinstance(thing, str):
            console.print(thing, soft_wrap=True, highlight=False, markup=False)
        else:
            console.print(thing)


def show_list(
    rows: Sequence[dict[str, Any]], form: ListFormat, table: Callable[[Sequence[dict[str, Any]]], Table]
) -> None:
    """Rows as the user wants them."""
    if form is ListFormat.JSON:
        typer.echo(as_json(rows))
    else:
        show(Console(), table(rows))


def as_json(data: object) -> str:
    """Plain data as indented JSON."""
    return json.dumps(data, indent=1)


def deliver_table(
    form: TableFormat,
    output: Path | None,
    *,
    make_file: Callable[[FormatName], bytes],
    ask: Callable[[], Any],
    lay_out: Callable[[Any, int], Iterable[str | Table | Group]],
) -> None:
    """Write a table of results as the user wants it.

    make_file: the file, from the api. ask: plain data, from the api. lay_out: what people read, from the data and the
    width there is.
    """
    if form.file:
        deliver(make_file(form.file), output, text=form is not TableFormat.PARQUET)
        return
    found = ask()
    if form is TableFormat.JSON:
        deliver(f"{as_json(found)}\n".encode(), output, text=True)
        return
    if output is None:
        console = Console()
        show(console, *lay_out(found, console.width))
        return
    page = io.StringIO()
    show(Console(file=page, width=_FILE_WIDTH), *lay_out(found, _FILE_WIDTH))
    deliver(page.getvalue().encode(), output, text=True)


def deliver(data: bytes, output: Path | None, *, text: bool) -> None:
    """Write to a file, or to standard output; what is not text never to a terminal. Raises BadInput."""
    if output is not None:
        try:
            output.write_bytes(data)
        except OSError as error:
            raise BadInput(f"{output} cannot be written: {error.strerror}") from error
        return
    if not text and sys.stdout.isatty():
        raise BadInput("Parquet is not for a terminal", "a file", "name one with --output, or pipe it")
    stream = typer.get_binary_stream("stdout")
    stream.write(data)
    stream.flush()
