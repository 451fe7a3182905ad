"""Whether a history keeps the promises: what the store and the api say after a run, against the undisturbed one.

Reads results only: studies, manifests, vectors, scores, and what the api shows. Trusts nothing that a worker said
of itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from chaos.proxy import Entry
from chaos.traffic import rival_writers
from shared import keys
from shared.contracts import EmbeddingSpec, ScoreSpec, Study
from shared.embeddings import load_vectors, read_manifest
from shared.errors import SameSkyError
from shared.outcomes import Manifest, ScoreRecord
from shared.progress import JobProgress, PairProgress
from shared.records import read_bytes, read_record, sha256_of
from shared.states import State
from shared.store import ObjectStore

_MAY_DIFFER = frozenset({"seconds", "threads", "created_at", "worker", "left_manifest", "right_manifest", "history"})

_LAST_WORDS = "fake-poison kills process"


class Breach(NamedTuple):
    """A promise that was not kept. check: its name; what: whose, and how."""

    check: str
    what: str


class Shown(NamedTuple):
    """What the api shows of one study. poisoned: part of its labels' text that marks what must fail."""

    study: Study
    jobs: Sequence[JobProgress]
    pairs: Sequence[PairProgress]
    poisoned: str = ""


def check_ends(shown: Shown, attempts: int) -> Iterator[Breach]:
    """All jobs and pairs are done; those that are poisoned failed, with a reason, after `attempts` starts at most."""
    if (len(shown.jobs), len(shown.pairs)) != (len(shown.study.embeddings), len(shown.study.pairs)):
        yield Breach("ends", f"{shown.study.title}: the api shows {len(shown.jobs)} jobs, {len(shown.pairs)} pairs")
    everything: list[JobProgress | PairProgress] = [*shown.jobs, *shown.pairs]
    for each in everything:
        poisoned = bool(shown.poisoned) and shown.poisoned in each.label
        wanted = State.FAILED if poisoned else State.DONE
        if each.state is not wanted:
            reason = f": {each.failure.wrong}" if each.failure else ""
            yield Breach("ends", f"{each.label} is {each.state}, not {wanted}{reason}")
        elif poisoned and (each.failure is None or not each.failure.wrong or each.failure.attempts > attempts):
            yield Breach("ends", f"{each.label} failed without a reason, or after too many starts: {each.failure}")


def check_starts(logs: Sequence[str], most: int) -> Iterator[Breach]:
    """The poison was started at most so often. It says so itself, right before it kills its process."""
    starts = sum(log.count(_LAST_WORDS) for log in logs)
    if starts > most:
        yield Breach("starts", f"the poison was started {starts} times, at most {most} may be")


def check_embeddings(
    study: Study, store: ObjectStore, undisturbed: ObjectStore, poisoned: str = ""
) -> Iterator[Breach]:
    """Every manifest is whole, its hashes are right, and its parts are bit for bit those of the undisturbed run."""
    for spec in study.embeddings:
        if poisoned and poisoned in spec.label:
            continue
        try:
            manifest = read_manifest(store, spec)
            if manifest is None:
                yield Breach("manifests", f"{spec.label} has no manifest")
                continue
            load_vectors(store, manifest)
            if _hashes(manifest) != _hashes(read_manifest(undisturbed, spec)):
                yield Breach("vectors", f"{spec.label} has other vectors than undisturbed")
        except SameSkyError as error:
            yield Breach("manifests", f"{spec.label}: {error}")


def check_scores(study: Study, store: ObjectStore, undisturbed: ObjectStore, poisoned: str = "") -> Iterator[Breach]:
    """Every score is the undisturbed one, field by field, but for times and workers; and it names these manifests."""
    for spec in study.scores():
        if poisoned and poisoned in spec.pair.label:
            continue
        try:
            record = read_record(store, keys.score(spec), ScoreRecord)
            reference = read_record(undisturbed, keys.score(spec), ScoreRecord)
            if record is None or reference is None:
                yield Breach("scores", f"{spec.pair.label} has no score")
                continue
            yield from _compare(spec, record, reference)
            yield from _check_provenance(record, store)
            for key in (keys.score_objects(spec), keys.score_nulls(spec)):
                ours, theirs = (read_bytes(place, key) for place in (store, undisturbed))
                if ours is None or ours != theirs:
                    yield Breach("scores", f"{key} is not what it was undisturbed")
        except SameSkyError as error:
            yield Breach("scores", f"{spec.pair.label}: {error}")


def check_writers(entries: Sequence[Entry]) -> Iterator[Breach]:
    """No manifest, and no score, was taken by the server in two versions."""
    for key, versions in rival_writers(entries).items():
        kind = "manifest" if keys.is_manifest(key) else "score"
        yield Breach(f"one {kind}", f"{key} was written in {len(versions)} versions")


def check_orphans(store: ObjectStore, studies: Sequence[Study], garbage: Collection[str]) -> Iterator[Breach]:
    """What no result names is what garbage collection would take (`garbage`), and it would take nothing else."""
    unnamed = find_unnamed(store, studies)
    yield from (Breach("orphans", f"{key} is named by nothing") for key in sorted(unnamed - set(garbage)))
    yield from (Breach("orphans", f"{key} is in use, and would go") for key in sorted(set(garbage) - unnamed))


def find_unnamed(store: ObjectStore, studies: Sequence[Study]) -> set[str]:
    """The keys that follow from no study: not its results, what they name, or how its work ended."""
    named: set[str] = set()
    for study in studies:
        named.add(keys.study(study.id))
        for spec in study.embeddings:
            named |= _named_by_embedding(store, spec)
        for score in study.scores():
            named |= {keys.score(score), keys.score_objects(score), keys.score_nulls(score)}
    digests = {spec.digest for study in studies for spec in study.embeddings}
    return {key for key in store.keys("") if key not in named and not _is_kept(key, digests)}


def _is_kept(key: str, digests: set[str]) -> bool:
    """Whether a key is of a neighbour table of these embeddings, or their join, or tells how work ended."""
    table = key.startswith(keys.NEIGHBOURS) and keys.embedding_of_neighbours(key) in digests
    sides = keys.joined(key)
    return table or bool(sides and digests >= {*sides}) or key.startswith(keys.ENDINGS)


def _named_by_embedding(store: ObjectStore, spec: EmbeddingSpec) -> set[str]:
    try:
        manifest = read_manifest(store, spec)
    except SameSkyError:  # another check tells of it; a human is to see it, and nothing of it may go meanwhile
        return set(store.keys(keys.attempts_prefix(spec))) | {keys.manifest(spec)}
    if manifest is None:  # unfinished: its receipts are what it will be made of
        stored = set(store.keys(keys.attempts_prefix(spec)))
        return {key for key in stored if keys.receipt_beside(key) in stored}
    parts = {part.key for part in manifest.parts}
    return {keys.manifest(spec)} | parts | {keys.receipt_beside(key) for key in parts}


def _hashes(manifest: Manifest | None) -> list[str]:
    return [part.sha256 for part in manifest.parts] if manifest else []


def _compare(spec: ScoreSpec, record: ScoreRecord, reference: ScoreRecord) -> Iterator[Breach]:
    ours, theirs = (_fields(each.model_dump(mode="json")) for each in (record, reference))
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            yield Breach("scores", f"{spec.pair.label}: {name} is {ours.get(name)!r}, undisturbed {theirs.get(name)!r}")


def _check_provenance(record: ScoreRecord, store: ObjectStore) -> Iterator[Breach]:
    pair, provenance = record.spec.pair, record.provenance
    for side, sha256 in ((pair.left, provenance.left_manifest), (pair.right, provenance.right_manifest)):
        data = read_bytes(store, keys.manifest(side))
        if data is None or sha256_of(data) != sha256:
            yield Breach("provenance", f"{pair.label} names another manifest of {side.label} than is stored")


def _fields(value: Any, name: str = "") -> dict[str, Any]:
    """Every leaf of nested JSON by its dotted name, but for what may differ."""
    if isinstance(value, dict):
        inner = {key: item for key, item in value.items() if key not in _MAY_DIFFER}
    elif isinstance(value, list):
        inner = {str(index): item for index, item in enumerate(value)}
    else:
        return {name: value}
    return {path: leaf for key, item in inner.items() for path, leaf in _fields(item, f"{name}.{key}").items()}
