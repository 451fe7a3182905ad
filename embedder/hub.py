"""The hub of models and datasets: names to commits, and its errors to ours. Imports no model library.

A folder `models/ORG/NAME` or `datasets/ORG/NAME` under the setting SAMESKY_HUB_DIR stands in for a hub id; its
revision is then the hash of its content.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import httpx2  # what huggingface_hub 2 speaks through; its network errors are not wrapped
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.constants import HF_HUB_CACHE, is_offline_mode
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name

from embedder.contents import LOCAL, hash_folder
from shared.errors import CheckpointUnavailable, HubUnavailable, SameSkyError, one_line
from shared.settings import Settings

RepoKind = Literal["model", "dataset"]
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TIMEOUT_SECONDS = 20.0


def find_stand_in(kind: RepoKind, repo_id: str, settings: Settings) -> Path | None:
    """The local folder that stands in for a hub id, if there is one."""
    if settings.hub_dir is None:
        return None
    folder = settings.hub_dir / f"{kind}s" / repo_id
    return folder if folder.is_dir() else None


def resolve_revision(kind: RepoKind, repo_id: str, revision: str, settings: Settings) -> str:
    """The commit that `revision` names now; of a local stand-in, the hash of its content.

    Read at its source: from the hub, or, with HF_HUB_OFFLINE=1, from the local cache. Raises
    CheckpointUnavailable for a repository or revision that is not there, HubUnavailable when the hub does not
    answer.
    """
    folder = find_stand_in(kind, repo_id, settings)
    if folder is not None:
        return hash_folder(folder)
    with translate_hub_errors(kind, repo_id, revision):
        if is_offline_mode():
            return _cached_commit(kind, repo_id, revision)
        api = HfApi()
        ask = api.model_info if kind == "model" else api.dataset_info
        commit = ask(repo_id, revision=revision, timeout=_TIMEOUT_SECONDS).sha
    if commit is None or not _COMMIT.fullmatch(commit):
        raise HubUnavailable(f"the hub gave {commit!r} as the commit of {repo_id}", "40 hexadecimal digits")
    if _COMMIT.fullmatch(revision) and commit != revision:
        raise CheckpointUnavailable(f"{kind} {repo_id} has no commit {revision}; the hub gave {commit}", revision)
    return commit


def _cached_commit(kind: RepoKind, repo_id: str, revision: str) -> str:
    """The commit of a branch as last seen; where none was seen, that of the only snapshot in the cache."""
    try:
        return snapshot_folder(kind, repo_id, revision).name
    except LocalEntryNotFoundError:
        folder = Path(HF_HUB_CACHE, repo_folder_name(repo_id=repo_id, repo_type=kind), "snapshots")
        commits = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        if len(commits) != 1 or _COMMIT.fullmatch(revision):
            raise
        return snapshot_folder(kind, repo_id, commits[0]).name


def snapshot_folder(kind: RepoKind, repo_id: str, revision: str) -> Path:
    """The folder of the local cache that holds `revision` whole, named by its commit. Asks no server."""
    needed = "config.json" if kind == "model" else "*.parquet"
    return Path(
        snapshot_download(repo_id, repo_type=kind, revision=revision, allow_patterns=needed, local_files_only=True)
    )


def fetch_file(kind: RepoKind, repo_id: str, revision: str, name: str) -> Path:
    """One file of a repository at a commit: from the local cache, where it is kept, or else from the hub.

    Raises CheckpointUnavailable for one that is not there, HubUnavailable when the hub does not answer.
    """
    with translate_hub_errors(kind, repo_id, revision):
        return Path(hf_hub_download(repo_id, name, repo_type=kind, revision=revision))


def open_stand_in(kind: RepoKind, repo_id: str, revision: str, settings: Settings) -> Path | None:
    """The local folder that `revision` was read from; None when `revision` is a commit of the hub.

    Raises CheckpointUnavailable when the folder is gone, or no longer holds what it held.
    """
    if not revision.startswith(LOCAL):
        return None
    folder = find_stand_in(kind, repo_id, settings)
    found = hash_folder(folder) if folder is not None else "no such folder"
    if found != revision:
        raise CheckpointUnavailable(
            f"the folder {kind}s/{repo_id} under SAMESKY_HUB_DIR is not the one the study was accepted with: {found}",
            revision,
            "give every embedder the same folder, or submit the study again",
        )
    return folder


@contextmanager
def translate_hub_errors(kind: RepoKind, repo_id: str, revision: str) -> Iterator[None]:
    """Raise what the hub's client, or a library above it, raises as one of our two errors."""
    try:
        yield
    except SameSkyError:
        raise
    except (httpx2.HTTPError, OSError) as error:
        known = _explain(error, kind, repo_id, revision)
        if known is None:
            raise
        raise known from error


def _explain(error: BaseException, kind: RepoKind, repo_id: str, revision: str) -> SameSkyError | None:
    what = f"{kind} {repo_id} at revision {revision}"
    causes = list(_causes(error))
    for cause in causes:
        refusal = _explain_refusal(cause, what)
        if refusal is not None:
            return refusal
    for cause in causes:
        if isinstance(cause, httpx2.HTTPError | ConnectionError | TimeoutError):
            remedy = "workers try again, submit again; without a network, put the files under SAMESKY_HUB_DIR"
            return HubUnavailable(f"the hub did not answer for {what}: {cause}", "", remedy)
    return None


def _explain_refusal(cause: BaseException, what: str) -> CheckpointUnavailable | None:
    """What the hub, or the cache without it, said for good; None for what may pass."""
    wrong, remedy = "", ""
    if isinstance(cause, GatedRepoError):
        wrong, remedy = f"{what} is gated", "ask for access on its page, and set HF_TOKEN for the embedder and the api"
    elif isinstance(cause, RevisionNotFoundError | RepositoryNotFoundError):
        wrong, remedy = f"{what} is not on the hub", "check the id and the revision; a private one needs HF_TOKEN"
    elif isinstance(cause, RemoteEntryNotFoundError):
        wrong, remedy = f"{what} lacks a file: {one_line(cause)}", "check the file's name, or choose another revision"
    elif isinstance(cause, HfHubHTTPError) and not _may_pass(cause):
        wrong = f"the hub refused {what}: {cause}"
    elif is_offline_mode() and isinstance(cause, OfflineModeIsEnabled | LocalEntryNotFoundError):
        wrong = f"{what} is not in the local cache, and HF_HUB_OFFLINE is set"
        remedy = "download it while on line, unset HF_HUB_OFFLINE, or put it under SAMESKY_HUB_DIR"
    return CheckpointUnavailable(wrong, "a repository you may read", remedy) if wrong else None


def _may_pass(error: HfHubHTTPError) -> bool:
    return error.response.status_code in (408, 425, 429) or error.response.status_code >= 500


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
