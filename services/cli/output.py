"""Where the command line writes: tables and data to standard output or a file, faults to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, Group
from rich.table import Table

from shared.errors import BadInput, Retryable, SameSkyError


class ListFormat(StrEnum):
    """How a list is written."""

    TABLE = "table"
    JSON = "json"


class ScoreFormat(StrEnum):
    """How scores are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


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


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as indented JSON."""
    return json.dumps(rows, indent=1)


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
