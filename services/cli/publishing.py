"""Commands for vectors that are published: import them as embeddings, export embeddings as such a table.

What reads archives and writes tables is imported when it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from services.cli.asking import WatchOption, end
from services.cli.output import complain, show
from services.cli.reproducing import open_archive
from services.cli.tables import summary
from services.cli.watching import watch
from services.client import Client
from shared.archive import read_index, read_study
from shared.errors import BadInput, BadStudy, one_line
from shared.published import TableColumns

_POLICIES = ["crossmodal", "intramodal", "crosskind"]
_MOST_OTHERS = 40


FileArgument = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", show_default=False, help="A Parquet file, or a folder of some, where the api is."),
]
OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="FILE.parquet", help="Write it here.")]
StudyArgument = Annotated[
    str,
    typer.Argument(metavar="STUDY_ID|FILE.zip", show_default=False, help="A study, or its archive with vectors."),
]
Several = list[str] | None


def import_(
    context: typer.Context,
    file: FileArgument = None,
    *,
    dataset: Annotated[str, typer.Option(metavar="NAME", help="What the dataset is called.")],
    hub: Annotated[str | None, typer.Option(metavar="OWNER/NAME", help="A dataset of the hub, not FILE.")] = None,
    revision: Annotated[str | None, typer.Option(help="Of the hub's dataset, if not its main branch.")] = None,
    split: Annotated[str, typer.Option(help="Which split of it.")] = "train",
    id_column: Annotated[str | None, typer.Option(help="The column of object ids, if not the row's position.")] = None,
    modality: Annotated[
        Several, typer.Option(metavar="NAME", help="One that the catalogue lacks; may be repeated.")
    ] = None,
    column: Annotated[
        Several,
        typer.Option(metavar="COLUMN=MODEL:MODALITY", help="What a column is, if not as called; may be repeated."),
    ] = None,
    pairs: Annotated[
        Several, typer.Option(metavar="POLICY", help=f"If not {', '.join(_POLICIES)}; may be repeated.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Take the first LIMIT objects only.")] = None,
    k: Annotated[list[int] | None, typer.Option(help="Neighbours counted; may be repeated.")] = None,
    title: Annotated[str | None, typer.Option(help="What the study is called.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what the columns are, and stop.")] = False,
    follow: WatchOption = False,
) -> None:
    """Take vectors that somebody published, a column for each model, as embeddings, and score them."""
    if (file is None) == (hub is None):
        raise BadStudy("give a file or folder, or --hub", "one of the two")
    place = {"hub": hub} if file is None else {"folder": _place(file)}
    given = {"name": dataset, **place, "revision": revision, "split": split, "id_column": id_column, "limit": limit}
    asked = {name: value for name, value in given.items() if value is not None}
    told, console = _read_columns(column or ()), Console()
    with Client(context.obj) as client:
        found = client.columns({**asked, "embeddings": "all"}, modalities=modality or (), told=told)
        show(console, *_describe(found))
        if dry_run:
            return
        progress = client.submit(_study_of(asked, found, pairs=pairs, k=k, title=title))
        show(console, summary(progress))
        if sum(progress.jobs.values()) < len(found.embeddings):
            complain("some columns are in no pair, and are not stored: `--pairs all` compares every two")
        if follow:
            end(client, watch(client, progress.id, console), console)
        elif not progress.state.final:
            show(console, f"follow it with: samesky status {progress.id} --watch")


def _place(file: Path) -> str:
    """The absolute path of what is to be imported. Links stay as they are: the api follows them, where it is."""
    return os.path.abspath(os.path.expanduser(file))  # noqa: PTH100, PTH111  # no error for a home that nobody has


def _read_columns(told: Sequence[str]) -> dict[str, dict[str, str]]:
    """What columns are said to be, `COLUMN=MODEL:MODALITY`, with `:LAYER` where it is not the final one."""
    columns = {}
    for text in told:
        name, equals, meaning = text.rpartition("=")
        parts = meaning.split(":")
        if not (name and equals and len(parts) in (2, 3) and all(parts)):
            raise BadInput(f"--column {text!r:.100}", "COLUMN=MODEL:MODALITY")
        if name in columns:
            raise BadInput(f"--column {text!r:.100} tells of a column that was told of before", "each column once")
        columns[name] = dict(zip(("model", "modality", "layer"), parts, strict=False))
    return columns


def _describe(found: TableColumns) -> Iterator[str]:
    yield f"{found.dataset} at {found.revision}: {found.rows} objects"
    if found.id_column is None:
        yield "ids: NONE IS NAMED, so an object's id is the position of its row, from 0; --id-column names a column"
    else:
        yield f"ids: column {found.id_column}"
    for one in found.embeddings:
        layer = "" if one.layer == "final" else f", {one.layer}"
        rounded = ", float64: rounded to single precision where it must be" if one.type == "double" else ""
        yield f"  {one.column}: {one.model} of {one.modality}{layer}, {one.dimension} numbers{rounded}"
    if found.others:
        yield f"columns not taken: {len(found.others)}"
    for other in found.others[:_MOST_OTHERS]:
        yield f"  {one_line(other.column):.140} ({one_line(other.type):.60}): {other.why}"
    if len(found.others) > _MOST_OTHERS:
        yield f"  and {len(found.others) - _MOST_OTHERS} more"


def _study_of(
    asked: dict[str, Any], found: TableColumns, *, pairs: list[str] | None, k: list[int] | None, title: str | None
) -> dict[str, Any]:
    """The study of just what was shown, at the revision that was shown."""
    embeddings = {
        one.column: {"model": one.model, "modality": one.modality, "layer": one.layer} for one in found.embeddings
    }
    return {
        "datasets": [{**asked, "revision": found.revision, "embeddings": embeddings}],
        "pairs": pairs or _POLICIES,
        "scoring": {"k": k} if k else {},
        "title": title or f"Published vectors of {found.dataset}",
    }


def export(
    context: typer.Context,
    study: StudyArgument,
    output: OutputOption,
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="Which, of a study of several.")] = None,
) -> None:
    """Write a study's embeddings as one table, a column for each model, as the field publishes them."""
    from services.exporting import export_table

    folder = output.absolute().parent
    if not os.path.isdir(folder):  # noqa: PTH112  # no error for what cannot be a folder
        raise BadInput(f"{output} cannot be written: there is no folder {folder}", "a folder that is there")
    if not output.name:
        raise BadInput(f"{output} cannot be written: it is a folder", "the name of a file")
    with open_archive(context, study, vectors=True, beside=folder) as opened:
        index = read_index(opened)
        if not index.vectors:
            raise BadInput(f"{study} has no vectors in it", "an archive that has", "see `samesky archive --vectors`")
        made = export_table(opened, read_study(opened, index.study), output, dataset=dataset)
    columns = [f"  {name}" for name in made.columns]
    show(Console(), f"{output}: {made.rows} objects, {len(columns)} columns", *columns)
    for name, count in made.left_out.items():
        complain(f"{name} has {count} objects more, which another embedding lacks: they are left out")


COMMANDS = (import_, export)
