"""From stored embeddings to a stored score, and what happens when something is missing, altered or done twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scorer.comparison import Neighbours
from scorer.neighbour_cache import Origin, write_table
from scorer.neighbours import SEARCH_VERSION
from scorer.pipeline import score
from scorer.records import read_nulls, read_objects
from shared import keys
from shared.contracts import EmbeddingSpec, PairSpec, ScoreSpec, Scoring
from shared.embeddings import read_manifest_with_hash
from shared.errors import (
    AlteredPart,
    BadRecord,
    DegenerateEmbedding,
    LeaseLost,
    MissingPart,
    NotReady,
    Retryable,
    TooFewObjects,
    UnknownName,
    ZeroVector,
)
from shared.outcomes import Attempt, Manifest, ScoreRecord
from shared.store import DirectoryStore, MemoryStore, ObjectStore
from shared.vectors import Vectors

Maker = Callable[..., EmbeddingSpec]
Keeper = Callable[[ObjectStore, EmbeddingSpec, Vectors], Manifest]
SCORING = Scoring(k=10, permutations=199, resamples=199)


def _galaxies(seed: int, rows: npt.NDArray[np.int64], d: int = 16) -> Vectors:
    """Vectors of these galaxies as one instrument sees them: what is shared, and noise of its own."""
    shared = np.random.default_rng(100).standard_normal((200, 6))
    stream = np.random.default_rng(seed)
    matrix = shared @ stream.standard_normal((6, d)) + stream.standard_normal((200, d))
    return Vectors(tuple(f"g{row}" for row in rows), matrix[rows].astype(np.float32))


def _brute_force_mknn(left: Vectors, right: Vectors, k: int) -> tuple[list[str], npt.NDArray[np.float64]]:
    shared = sorted(set(left.object_ids) & set(right.object_ids))
    sides = []
    for side in (left, right):
        matrix = side.matrix[[side.object_ids.index(object_id) for object_id in shared]].astype(np.float64)
        unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
        similarity = unit @ unit.T
        np.fill_diagonal(similarity, -np.inf)
        sides.append(np.argsort(-similarity, axis=1)[:, :k])
    return shared, np.array([len(set(a) & set(b)) / k for a, b in zip(*map(np.ndarray.tolist, sides), strict=True)])


class Stored:
    """Two embeddings in a store: hsc of galaxies 0 to 179, jwst of 20 to 199, each in an order of its own."""

    def __init__(self, store: ObjectStore, make_spec: Maker, keep: Keeper) -> None:
        self.store = store
        stream = np.random.default_rng(5)
        self.hsc, self.jwst = make_spec("hsc"), make_spec("jwst")
        self.seen_by_hsc = _galaxies(1, stream.permutation(np.arange(180)))
        self.seen_by_jwst = _galaxies(2, stream.permutation(np.arange(20, 200)))
        self.manifest = keep(store, self.hsc, self.seen_by_hsc)
        keep(store, self.jwst, self.seen_by_jwst)
        self.spec = ScoreSpec(pair=PairSpec(left=self.hsc, right=self.jwst), scoring=SCORING)

    def score(self, spec: ScoreSpec | None = None) -> ScoreRecord:
        return score(spec or self.spec, store=self.store, threads=1, attempt=Attempt(name="a1", worker="w"))

    def left(self, prefix: str) -> list[str]:
        return list(self.store.keys(prefix))


@pytest.fixture
def stored(make_spec: Maker, store_embedding: Keeper) -> Stored:
    """Two embeddings in memory."""
    return Stored(MemoryStore(), make_spec, store_embedding)


def test_the_score_is_that_of_brute_force(stored: Stored) -> None:
    record = stored.score()
    shared, expected = _brute_force_mknn(stored.seen_by_hsc, stored.seen_by_jwst, 10)
    result = record.results[0]
    assert (record.left_objects, record.right_objects, record.objects) == (180, 180, 160)
    assert result.value == pytest.approx(expected.mean(), abs=1e-9)
    assert result.chance == result.null_mean == pytest.approx(10 / 159)
    assert result.p_value == 1 / 200
    assert result.interval.low < result.value < result.interval.high
    assert result.standard_error == pytest.approx(expected.std(ddof=1) / np.sqrt(160))
    table = pq.read_table(pa.BufferReader(stored.store.get(record.per_object)))
    assert table.column("object_id").to_pylist() == shared
    np.testing.assert_allclose(table.column("mknn@10").to_numpy(), expected, atol=1e-12)


def test_what_neither_side_tells_apart_is_no_agreement(make_spec: Maker, store_embedding: Keeper) -> None:
    """Vectors of a few kinds, others on either side: nearly every neighbour is a tie."""
    store, stream = MemoryStore(), np.random.default_rng(7)
    hsc, jwst, legacysurvey = (make_spec(name) for name in ("hsc", "jwst", "legacysurvey"))
    ids = tuple(f"g{row:03d}" for row in range(200))
    for spec, kinds in ((hsc, 4), (jwst, 2), (legacysurvey, 2)):
        matrix = stream.standard_normal((kinds, 6))[stream.integers(kinds, size=200)]
        store_embedding(store, spec, Vectors(ids, matrix.astype(np.float32)))
    for left, right in ((hsc, jwst), (jwst, legacysurvey)):
        spec = ScoreSpec(pair=PairSpec(left=left, right=right), scoring=SCORING)
        result = score(spec, store=store, threads=1, attempt=Attempt(name="a1", worker="w")).results[0]
        assert result.value == pytest.approx(result.chance, abs=4 * result.null_std)
        assert result.p_value > 0.01


def test_every_neighbour_metric_at_every_k_comes_from_one_search(stored: Stored) -> None:
    names = ("mknn", "jaccard", "rank-biased-overlap", "cycle-knn", "cknna")
    scoring = SCORING.model_copy(update={"metrics": names, "k": (10, 3, 6)})
    record = stored.score(ScoreSpec(pair=stored.spec.pair, scoring=scoring))
    assert [result.label for result in record.results] == [f"{name}@{k}" for name in names for k in (10, 3, 6)]
    assert len(stored.left("neighbours/")) == 2
    assert record.result("mknn", 10) == stored.score().result("mknn", 10)
    for result in record.results:
        assert result.p_value == 1 / 200
        assert result.chance < result.threshold < result.interval.low <= result.value <= result.interval.high
        assert 0 < result.calibrated < result.value
        assert abs(result.interval.high - result.interval.low - 4 * result.standard_error) < 2 * result.standard_error
    columns = pq.read_table(pa.BufferReader(stored.store.get(record.per_object))).column_names
    assert columns == ["object_id", *(f"{name}@{k}" for name in names[:-1] for k in (10, 3, 6))]


def test_the_record_can_be_traced(stored: Stored) -> None:
    record = stored.score()
    data = stored.store.get(keys.score(stored.spec))
    assert ScoreRecord.model_validate_json(data) == record
    assert record.to_json() == data
    assert record.spec == stored.spec
    found = read_manifest_with_hash(stored.store, stored.hsc)
    assert found is not None
    assert record.provenance.left_manifest == found[1]
    assert record.provenance.right_manifest != found[1]
    assert {"faiss-cpu", "numpy", "pyarrow"} <= record.provenance.packages.keys()
    assert record.provenance.threads == 1
    assert record.provenance.worker == "w"
    assert record.per_object == keys.score_objects(stored.spec)


def test_storage_order_does_not_matter(make_spec: Maker, store_embedding: Keeper, stored: Stored) -> None:
    expected = stored.score().results
    again = Stored(MemoryStore(), make_spec, store_embedding)
    again.store = MemoryStore()
    for spec, vectors in ((again.hsc, again.seen_by_hsc), (again.jwst, again.seen_by_jwst)):
        store_embedding(again.store, spec, vectors.take(np.random.default_rng(8).permutation(len(vectors))))
    assert again.score().results == expected


def test_the_pair_is_unordered(stored: Stored) -> None:
    turned = ScoreSpec(pair=PairSpec(left=stored.jwst, right=stored.hsc), scoring=SCORING)
    assert stored.score(turned) == stored.score()
    assert len([key for key in stored.left(keys.SCORES) if keys.is_score(key)]) == 1


def test_an_embedding_against_itself_rotated_is_one(make_spec: Maker, store_embedding: Keeper) -> None:
    store, left, right = MemoryStore(), make_spec("hsc"), make_spec("jwst")
    vectors = _galaxies(1, np.arange(200))
    store_embedding(store, left, vectors)
    store_embedding(store, right, Vectors(vectors.object_ids, np.ascontiguousarray(-8 * vectors.matrix[:, ::-1])))
    spec = ScoreSpec(pair=PairSpec(left=left, right=right), scoring=SCORING)
    result = score(spec, store=store, threads=1, attempt=Attempt(name="a1", worker="w")).results[0]
    assert (result.value, result.interval.low, result.interval.high, result.standard_error) == (1, 1, 1, 0)


def test_what_is_scored_is_not_scored_again(stored: Stored) -> None:
    first = stored.score()
    data = stored.store.get(keys.score(stored.spec))
    for key in stored.left(keys.EMBEDDINGS):
        stored.store.delete(key)
    assert stored.score() == first
    assert stored.store.get(keys.score(stored.spec)) == data


def test_scoring_anew_gives_the_same_but_for_time(stored: Stored) -> None:
    first, objects = stored.score(), stored.store.get(keys.score_objects(stored.spec))
    for key in (*stored.left(keys.SCORES), *stored.left("neighbours/")):
        stored.store.delete(key)
    second = stored.score()
    assert stored.store.get(keys.score_objects(stored.spec)) == objects
    times = {"seconds", "created_at"}
    assert second.provenance.model_dump(exclude=times) == first.provenance.model_dump(exclude=times)
    assert second.model_dump(exclude={"provenance", "history"}) == first.model_dump(exclude={"provenance", "history"})


def test_the_seed_decides_the_draws_and_not_the_value(stored: Stored) -> None:
    other = ScoreSpec(pair=stored.spec.pair, scoring=SCORING.model_copy(update={"seed": 1}))
    first, second = stored.score().results[0], stored.score(other).results[0]
    assert first.value == second.value
    assert first.interval != second.interval


def test_neighbours_are_searched_once_per_embedding(make_spec: Maker, store_embedding: Keeper, stored: Stored) -> None:
    legacy = make_spec("legacysurvey")
    store_embedding(stored.store, legacy, stored.seen_by_jwst)
    stored.score()
    tables = {key: stored.store.get(key) for key in stored.left("neighbours/")}
    assert len(tables) == 2
    stored.score(ScoreSpec(pair=PairSpec(left=stored.hsc, right=legacy), scoring=SCORING))
    assert len(stored.left("neighbours/")) == 3
    assert all(stored.store.get(key) == data for key, data in tables.items())


def _cached(stored: Stored, table: npt.NDArray[np.int32]) -> tuple[str, bytes]:
    """A table at the place of the cached one of hsc, and its bytes."""
    found = read_manifest_with_hash(stored.store, stored.hsc)
    assert found is not None
    shared = tuple(sorted(set(stored.seen_by_hsc.object_ids) & set(stored.seen_by_jwst.object_ids)))
    origin = Origin(
        embedding=stored.hsc.digest, manifest=found[1], object_ids=shared, k=10, search_version=SEARCH_VERSION
    )
    return origin.key, write_table(Neighbours(shared, table), origin)


def test_a_cached_table_is_what_is_used(stored: Stored) -> None:
    """A table of other neighbours, whole and of the right origin, shows in the score."""
    key, data = _cached(stored, ((np.arange(160)[:, None] + np.arange(1, 11)) % 160).astype(np.int32))
    stored.store.put(key, data)
    assert stored.score().results[0].value < 0.1


def test_a_damaged_cached_table_is_made_again(stored: Stored, caplog: pytest.LogCaptureFixture) -> None:
    expected = stored.score().results
    for key in stored.left(keys.SCORES):
        stored.store.delete(key)
    tables = {key: stored.store.get(key) for key in stored.left("neighbours/")}
    for key, data in tables.items():
        stored.store.put(key, data[: len(data) // 3])
    assert stored.score().results == expected
    assert {key: stored.store.get(key) for key in tables} == tables
    assert caplog.text.count("will be made again") == 2


def test_tables_of_a_replaced_embedding_are_not_used(stored: Stored, store_embedding: Keeper) -> None:
    first = stored.score().results[0].value
    for key in (*stored.left(keys.SCORES), *stored.left(keys.embedding_prefix(stored.hsc))):
        stored.store.delete(key)
    replaced = Vectors(stored.seen_by_jwst.object_ids, stored.seen_by_jwst.matrix.copy())
    store_embedding(stored.store, stored.hsc, replaced)
    assert first < 0.9
    for key in stored.left(keys.SCORES):
        stored.store.delete(key)
    record = stored.score()
    assert record.objects == 180
    assert record.results[0].value == 1


def test_a_pair_that_is_not_ready_may_be_tried_again(stored: Stored) -> None:
    stored.store.delete(keys.manifest(stored.jwst))
    with pytest.raises(NotReady, match="mocksky/jwst/fake-8 is not whole") as caught:
        stored.score()
    assert isinstance(caught.value, Retryable)
    assert stored.left(keys.SCORES) == []


def test_an_altered_part_is_named_and_nothing_is_written(stored: Stored) -> None:
    part = stored.manifest.parts[1].key
    data = bytearray(stored.store.get(part))
    data[len(data) // 2] ^= 1
    stored.store.put(part, bytes(data))
    with pytest.raises(AlteredPart, match=part):
        stored.score()
    assert stored.left(keys.SCORES) == stored.left("neighbours/") == []


def test_a_missing_part_is_named_and_nothing_is_written(stored: Stored) -> None:
    stored.store.delete(stored.manifest.parts[2].key)
    with pytest.raises(MissingPart, match=stored.manifest.parts[2].key):
        stored.score()
    assert stored.left(keys.SCORES) == []


def test_k_as_large_as_the_overlap_is_refused(stored: Stored) -> None:
    spec = ScoreSpec(pair=stored.spec.pair, scoring=SCORING.model_copy(update={"k": (160,)}))
    with pytest.raises(TooFewObjects, match="of 180 and 180 objects, share 160; expected at least 161"):
        stored.score(spec)
    assert stored.left(keys.SCORES) == []


def test_a_metric_that_cannot_be_measured_is_named(make_spec: Maker, store_embedding: Keeper, stored: Stored) -> None:
    """Vectors of one direction and many lengths differ, but not in what is nearer by cosine."""
    lengths = np.random.default_rng(3).uniform(1, 2, size=(200, 1)) * np.ones((1, 4))
    flat = make_spec("legacysurvey")
    store_embedding(stored.store, flat, Vectors(tuple(f"g{row}" for row in range(200)), lengths.astype(np.float32)))
    scoring = SCORING.model_copy(update={"metrics": ("cka", "rsa")})
    with pytest.raises(DegenerateEmbedding, match=r"rsa: all pairs .* equally far apart.*or leave out `rsa`") as caught:
        stored.score(ScoreSpec(pair=PairSpec(left=stored.hsc, right=flat), scoring=scoring))
    assert caught.value.code == "degenerate-embedding"
    with pytest.raises(
        DegenerateEmbedding, match=r"mknn: all vectors of mocksky/legacysurvey/fake-8 have the same dir"
    ):
        stored.score(ScoreSpec(pair=PairSpec(left=stored.hsc, right=flat), scoring=SCORING))
    assert stored.left("scores/") == []


def test_a_zero_vector_is_refused(stored: Stored, make_spec: Maker, store_embedding: Keeper) -> None:
    legacy, matrix = make_spec("legacysurvey"), stored.seen_by_hsc.matrix.copy()
    matrix[stored.seen_by_hsc.object_ids.index("g77")] = 0
    store_embedding(stored.store, legacy, Vectors(stored.seen_by_hsc.object_ids, matrix))
    with pytest.raises(ZeroVector, match="'g77' is zero"):
        stored.score(ScoreSpec(pair=PairSpec(left=stored.hsc, right=legacy), scoring=SCORING))
    assert stored.left(keys.SCORES) == []


def test_an_unknown_metric_is_refused_with_near_ones(stored: Stored) -> None:
    spec = ScoreSpec(pair=stored.spec.pair, scoring=SCORING.model_copy(update={"metrics": ("mkn",)}))
    with pytest.raises(UnknownName, match=r"no metric 'mkn'.*did you mean mknn"):
        stored.score(spec)


def test_the_record_of_another_score_is_not_believed(stored: Stored) -> None:
    other = ScoreSpec(pair=stored.spec.pair, scoring=SCORING.model_copy(update={"seed": 3}))
    stored.store.put(keys.score(other), stored.score().to_json())
    with pytest.raises(BadRecord, match=keys.score(other)):
        stored.score(other)


def test_racing_workers_leave_one_record(tmp_path: Path, make_spec: Maker, store_embedding: Keeper) -> None:
    stored = Stored(DirectoryStore(tmp_path), make_spec, store_embedding)
    start, records = threading.Barrier(4), []

    def work(worker: str) -> None:
        start.wait()
        records.append(score(stored.spec, store=stored.store, threads=1, attempt=Attempt(name=worker, worker=worker)))

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    data = stored.store.get(keys.score(stored.spec))
    assert [record.to_json() for record in records] == [data] * 4


def test_the_default_is_all_cores(stored: Stored) -> None:
    record = score(stored.spec, store=stored.store, threads=0, attempt=Attempt(name="a1", worker="w"))
    assert record.provenance.threads >= 1
    assert record.results[0].value == pytest.approx(
        _brute_force_mknn(stored.seen_by_hsc, stored.seen_by_jwst, 10)[1].mean()
    )


def test_a_stalled_worker_leaves_its_successors_values(stored: Stored) -> None:
    answers = iter([None, LeaseLost("another worker has it")])  # it stalls between its check and its writing

    def check() -> None:
        lost = next(answers)
        if lost:
            raise lost
        stored.store.put(keys.score_objects(stored.spec), b"the successor's")

    with pytest.raises(LeaseLost):
        score(stored.spec, store=stored.store, threads=1, attempt=Attempt(name="a1", worker="w"), before_commit=check)
    assert stored.store.get(keys.score_objects(stored.spec)) == b"the successor's"


def test_a_score_leaves_its_null_and_pairs_of_the_same_objects_share_their_relabellings(
    make_spec: Maker, store_embedding: Keeper, stored: Stored
) -> None:
    third = make_spec("legacysurvey")
    store_embedding(stored.store, third, stored.seen_by_jwst)  # the very vectors of jwst, under another name
    record, twin = stored.score(), stored.score(ScoreSpec(pair=PairSpec(left=stored.hsc, right=third), scoring=SCORING))
    null = read_nulls(stored.store, record)["mknn@10"]
    result = record.results[0]
    assert result.permutations == len(null) == 199
    assert result.p_value == (1 + (null >= result.value).sum()) / 200
    assert result.threshold in (*null, result.value)
    np.testing.assert_array_equal(read_nulls(stored.store, twin)["mknn@10"], null)


def test_several_k_come_from_one_search(stored: Stored) -> None:
    scoring = SCORING.model_copy(update={"k": (10, 3, 25)})
    record = stored.score(ScoreSpec(pair=stored.spec.pair, scoring=scoring))
    assert [result.label for result in record.results] == ["mknn@10", "mknn@3", "mknn@25"]
    assert {key.split("/")[-2] for key in stored.left(keys.NEIGHBOURS)} == {"k25"}
    for result in record.results:
        _, expected = _brute_force_mknn(stored.seen_by_hsc, stored.seen_by_jwst, result.k or 0)
        assert result.value == pytest.approx(expected.mean(), abs=1e-9)
        assert result.chance == pytest.approx((result.k or 0) / 159)
    assert record.result("mknn") == record.results[0]
    assert record.result("mknn", 25) == record.results[2]
    assert record.result("mknn", 7) is record.result("cka") is None
    ids, values = read_objects(stored.store, record)
    assert len(ids) == 160
    assert {name: column.mean() for name, column in values.items()} == pytest.approx(
        {result.label: result.value for result in record.results}
    )


@pytest.mark.parametrize("of", ["per_object", "nulls"])
def test_altered_values_are_not_believed(stored: Stored, of: str) -> None:
    record = stored.score()
    key = getattr(record, of)
    stored.store.put(key, stored.store.get(key) + b" ")
    with pytest.raises(AlteredPart, match="not what was written"):
        (read_objects if of == "per_object" else read_nulls)(stored.store, record)
