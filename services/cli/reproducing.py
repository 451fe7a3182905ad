"""Commands that hold a study to its word: archive, verify, reproduce.

What reads archives and runs studies is imported when it is needed: asking the api loads neither numpy nor torch.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from services.cli.output import complain, show
from services.client import Client
from shared.archive import read_index, read_study
from shared.errors import BadArchive, BadInput, one_line
from shared.settings import Settings
from shared.zip_store import ZipStore

if TYPE_CHECKING:
    from scorer.verification import Check

_MOST_PROBLEMS = 10
VectorsOption = Annotated[
    bool, typer.Option("--vectors", help="Put the embeddings' vectors in too, so that it can be scored anew.")
]


def archive(
    context: typer.Context,
    study_id: Annotated[str, typer.Argument(metavar="STUDY_ID", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it here; else to samesky-STUDY_ID.zip.")
    ] = None,
    vectors: VectorsOption = False,
) -> None:
    """Write a study as one file: request, manifests, scores, versions."""
    target = output or Path(f"samesky-{_as_file_name(study_id)}.zip")
    with Client(context.obj) as client:
        fetch(client, study_id, target, vectors=vectors)
    with ZipStore(target) as opened:
        index = read_index(opened)
    show(Console(), f"{target}: {len(index.entries)} objects of study {index.study}")
    if index.missing:
        complain(f"{len(index.missing)} objects are missing, the study being unfinished, or failed in part")


def fetch(client: Client, study_id: str, target: Path, *, vectors: bool = False) -> None:
    """Write the archive of a study to `target`, whole or not at all. Raises BadInput where it cannot be written."""
    if not target.name:
        raise BadInput(f"{target} cannot be written: it is a folder", "the name of a file")
    aside = target.with_name(f".{target.name}.part")
    try:
        with aside.open("wb") as file:
            client.archive(study_id, file, vectors=vectors)
        aside.replace(target)
    except OSError as error:
        raise BadInput(f"{target} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", show_default=False, help="An archive of a study.")],
) -> None:
    """Check an archive of a study, without a server: whole, of one piece with itself, true. Exit status 1 if not."""
    from scorer.verification import verify as checks

    console, done, failed = Console(), 0, 0
    with ZipStore(file) as opened:
        for check in checks(opened, threads=Settings.read().threads):
            done, failed = done + 1, failed + (not check.passed)
            show(console, *_lines(check))
        what = _describe(opened)
    show(console, f"{what}: {failed} of {done} checks failed" if failed else f"{what}: all {done} checks passed")
    if failed:
        raise typer.Exit(1)


def _describe(opened: ZipStore) -> str:
    """What an archive is of, in a few words; only its name, where it does not say."""
    try:
        index = read_index(opened)
        study = read_study(opened, index.study)
    except BadArchive:
        return str(opened.path)
    simulated = " of simulated objects" if any(spec.dataset.simulated for spec in study.embeddings) else ""
    return f"study {study.id}{simulated}, archived by samesky {one_line(index.samesky)}"


def _lines(check: Check) -> Iterator[str]:
    verdict = "ok" if check.passed else "FAILED"
    yield f"{verdict:<7}{check.name:<11}{check.looked_at:>6}  {check.rule}"
    yield from (f"         {problem}" for problem in check.problems[:_MOST_PROBLEMS])
    if len(check.problems) > _MOST_PROBLEMS:
        yield f"         and {len(check.problems) - _MOST_PROBLEMS} more"


def reproduce(
    context: typer.Context,
    study: Annotated[
        str, typer.Argument(metavar="STUDY_ID|FILE.zip", show_default=False, help="A study of the api, or an archive.")
    ],
    *,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FOLDER", help="Where a dataset lies here, if not where it lay; may be repeated."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder it ran in.")] = False,
    resume: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Go on in a folder that was kept.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write the comparison as JSON.")] = False,
) -> None:
    """Run a study again from its record alone, and say of each result: equal, close, different, missing."""
    from services.cli.agreeing import agreement_lines
    from services.reproduction import reproduce as run_again

    aloud = Console(stderr=True)
    with _workplace(resume, keep=keep) as folder, open_archive(context, study) as opened:
        if keep:
            show(aloud, f"it runs in {folder}")
        _warn(opened)
        agreement, failures = run_again(opened, Settings.read(), folder, aloud, places=_places(data or ()))
    for reason in failures:
        complain(reason)
    if as_json:
        typer.echo(agreement.to_json())
    else:
        show(Console(), *agreement_lines(agreement))
    if not agreement.agrees:
        raise typer.Exit(1)


@contextmanager
def _workplace(resume: Path | None, *, keep: bool) -> Iterator[Path]:
    if resume is not None and not resume.is_dir():
        raise BadInput(f"there is no folder {resume} to go on in", "one that `samesky reproduce --keep` left")
    folder = resume or Path(tempfile.mkdtemp(prefix="samesky-reproduce-"))
    try:
        yield folder
    finally:
        if not resume and not keep:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def open_archive(
    context: typer.Context, study: str, *, vectors: bool = False, beside: Path | None = None
) -> Iterator[ZipStore]:
    """The archive itself, or that of a study which the api has. beside: where there is room for it meanwhile.

    Raises BadInput for what is neither, and what `fetch` and reading it raise.
    """
    if Path(study).is_file() or study.endswith(".zip"):
        with ZipStore(Path(study)) as opened:
            yield opened
        return
    if not re.fullmatch(r"[0-9a-f]{32}", study):
        raise BadInput(f"{study!r:.100} is neither a file nor the id of a study", "FILE.zip, or 32 hexadecimal digits")
    try:
        room = tempfile.TemporaryDirectory(prefix="samesky-archive-", dir=beside)
    except OSError as error:
        where = beside or tempfile.gettempdir()
        raise BadInput(f"{where} cannot be written: {error.strerror}", "a folder with room for an archive") from error
    with room as folder:
        target = Path(folder) / "study.zip"
        with Client(context.obj) as client:
            fetch(client, study, target, vectors=vectors)
        with ZipStore(target) as opened:
            yield opened


def _warn(opened: ZipStore) -> None:
    """Say if the archive is not what was exported: it is reproduced all the same, and then disagrees."""
    from scorer.verification import verify as checks

    failed = [check.name for check in checks(opened, anew=False) if not check.passed]
    if failed:
        complain(f"{opened.path} does not verify ({', '.join(failed)}): see `samesky verify`")


def _places(data: Sequence[str]) -> dict[str, Path]:
    places = {}
    for text in data:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder):
            raise BadInput(f"--data {text!r:.100}", "NAME=FOLDER")
        places[name] = Path(folder)
    return places


def _as_file_name(study_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", study_id)[:64]


COMMANDS = (archive, verify, reproduce)
