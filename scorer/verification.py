"""Whether an archive of a study is whole, of one piece with itself, and true: checked without a server or the data.

Pure: an archive is read as the object store it is, by the functions that read any store. FAISS is loaded only where
vectors are there to score anew (`scorer.rescoring`). What is damaged is named; nothing is repaired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TypeVar

from scorer.records import read_nulls, read_objects, read_score
from scorer.score_checks import (
    Known,
    mean_problems,
    null_problems,
    provenance_problems,
    result_problems,
    table_problems,
)
from shared import keys
from shared.archive import ArchiveIndex, Entry, part_keys, read_index, read_study, record_keys
from shared.contract import Contract
from shared.contracts import Study
from shared.embeddings import load_vectors, read_manifest_with_hash
from shared.errors import BadArchive, Permanent, one_line
from shared.records import read_bytes, sha256_of
from shared.store import ObjectStore

T = TypeVar("T")


class Check(Contract):
    """One thing that was looked at. name: what; rule: what must hold; looked_at: how many; problems: each in words."""

    name: str
    rule: str
    looked_at: int
    problems: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not self.problems


class _Tally:
    """A check under way."""

    def __init__(self, name: str, rule: str) -> None:
        self._name, self._rule = name, rule
        self._looked_at = 0
        self._problems: list[str] = []

    def look(self, problems: Iterable[str] = ()) -> None:
        """One more was looked at, and these problems found in it."""
        self._looked_at += 1
        self._problems += map(one_line, problems)  # what an archive says of itself may hold anything

    def read(self, read: Callable[[], T | None], absent: str = "") -> T | None:
        """What `read` reads; None, and a problem, for what is not there or cannot be read."""
        self._looked_at += 1
        try:
            found = read()
        except Permanent as error:
            self._problems.append(one_line(error.wrong))
            return None
        if found is None:
            self._problems.append(absent)
        return found

    def end(self) -> Check:
        """What was found."""
        return Check(name=self._name, rule=self._rule, looked_at=self._looked_at, problems=tuple(self._problems))


def verify(archive: ObjectStore, *, threads: int = 0, anew: bool = True) -> Iterator[Check]:
    """Every check, in order, as it is done.

    anew: where vectors are in the archive, also make its scores anew; threads: for that, 0 means all cores. After an
    index or a study that cannot be read there is nothing to hold the rest against, and no further check. What may pass,
    such as StoreUnavailable, is raised, and is no problem of the archive.
    """
    tally = _Tally("index", "there is one, and it can be read")
    index = tally.read(partial(read_index, archive))
    yield tally.end()
    if index is None:
        return
    yield _check_entries(archive, index)
    tally = _Tally("study", "its digest is its id")
    study = tally.read(partial(read_study, archive, index.study))
    yield tally.end()
    if study is None:
        return
    manifests, check = _read_manifests(archive, study)
    yield check
    yield _check_keys(archive, index, study, manifests)
    yield from _check_scores(archive, study, manifests)
    if index.vectors:
        yield _check_vectors(archive, manifests)
        if anew:
            yield _check_anew(archive, study, threads)


def _check_entries(archive: ObjectStore, index: ArchiveIndex) -> Check:
    tally = _Tally("entries", "each is in the index, with its size and SHA-256")
    listed = {entry.key for entry in index.entries}
    if len(listed) != len(index.entries):
        tally.look(["the index names an entry twice"])
    for entry in index.entries:
        tally.look(_entry_problems(archive, entry))
    for key in archive.keys(""):
        if key not in listed and key != keys.ARCHIVE_INDEX:
            tally.look([f"{key} is not in the index"])
    return tally.end()


def _entry_problems(archive: ObjectStore, entry: Entry) -> Iterator[str]:
    try:
        data = read_bytes(archive, entry.key)
    except BadArchive as error:
        yield error.wrong
        return
    except Permanent as error:  # a name that is none
        yield f"the index names {entry.key!r:.100}: {error.wrong}"
        return
    if data is None:
        yield f"{entry.key} is in the index, and not in the archive"
    elif len(data) != entry.size:
        yield f"{entry.key} has {len(data)} bytes, not {entry.size}"
    elif sha256_of(data) != entry.sha256:
        yield f"{entry.key} has the SHA-256 {sha256_of(data)}, not {entry.sha256}"


def _read_manifests(archive: ObjectStore, study: Study) -> tuple[dict[str, Known], Check]:
    """The manifests that can be read, by the digest of their embedding."""
    tally = _Tally("manifests", "there is one of every embedding of the study")
    found: dict[str, Known] = {}
    for spec in study.embeddings:
        known = tally.read(partial(read_manifest_with_hash, archive, spec), f"there is no manifest of {spec.label}")
        if known:
            found[spec.digest] = Known(*known)
    return found, tally.end()


def _check_keys(archive: ObjectStore, index: ArchiveIndex, study: Study, manifests: Mapping[str, Known]) -> Check:
    tally = _Tally("keys", "the study names each entry, and what is not there is said to be missing")
    wanted = set(record_keys(study))
    if index.vectors:
        for spec in study.embeddings:
            known = manifests.get(spec.digest)
            wanted.update(part_keys(spec, known.manifest) if known else ())
    there, said = set(archive.keys("")) - {keys.ARCHIVE_INDEX}, set(index.missing)
    for key in sorted(wanted | there | said):
        problems = []
        if key not in wanted:
            problems.append(f"the study names no {key:.200}")
        if key in there and key in said:
            problems.append(f"{key} is said to be missing, and is there")
        if key in wanted - there - said:
            problems.append(f"{key} is missing, and the index does not say so")
        tally.look(problems)
    return tally.end()


def _check_scores(archive: ObjectStore, study: Study, manifests: Mapping[str, Known]) -> Iterator[Check]:
    scores = _Tally("scores", "there is one of every pair of the study")
    provenance = _Tally("provenance", "each names the manifests that are here, and their numbers of objects")
    results = _Tally("results", "each metric wanted is there, with a chance and a p-value that can be")
    tables = _Tally("tables", "each has its SHA-256, and holds what its score says")
    means = _Tally("means", "values are the means of their objects, for mknn with their standard errors")
    nulls = _Tally("nulls", "p-values, thresholds and calibrated scores are those of their nulls")
    for a, b in study.pairs:
        spec = study.score(a, b)
        record = scores.read(partial(read_score, archive, spec), f"there is no score of {spec.pair.label}")
        if record is None:
            continue
        provenance.look(provenance_problems(record, manifests))
        results.look(result_problems(record))
        tables.look(table_problems(record))
        objects = tables.read(partial(read_objects, archive, record))
        if objects is not None:
            means.look(mean_problems(record, objects[1]))
        null = tables.read(partial(read_nulls, archive, record))
        if null is not None:
            nulls.look(null_problems(record, null))
    for tally in (scores, provenance, results, tables, means, nulls):
        yield tally.end()


def _check_vectors(archive: ObjectStore, manifests: Mapping[str, Known]) -> Check:
    tally = _Tally("vectors", "each embedding has its parts, with their SHA-256, and each object once")
    for known in manifests.values():
        tally.read(partial(load_vectors, archive, known.manifest))
    return tally.end()


def _check_anew(archive: ObjectStore, study: Study, threads: int) -> Check:
    from scorer.rescoring import disagreements  # FAISS

    tally = _Tally("anew", "scores made anew from the vectors are equal, or close to within 1e-6")
    for problems in disagreements(archive, study, threads=threads):
        tally.look(problems)
    return tally.end()
