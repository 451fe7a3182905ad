"""What is recorded of a metric of whole embeddings: value, null, threshold, interval, details."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from scorer.calibration import calibrate
from scorer.comparison import Comparison
from scorer.metrics import METRICS, find_metric
from scorer.pairing import id_set_digest
from scorer.pipeline import score
from scorer.similarity import judging
from scorer.similarity.cca import pwcca, svcca
from scorer.similarity.cka import Alignment, debiased_cka, linear_cka, linear_kernels
from scorer.similarity.information import gaussian_information
from scorer.similarity.predictivity import linear_predictivity
from scorer.similarity.procrustes import procrustes_similarity
from scorer.similarity.rbf import rbf_cka
from scorer.similarity.relabelling import relabelled_values
from scorer.similarity.rsa import rsa
from scorer.streams import open_stream
from shared.contracts import EmbeddingSpec, PairSpec, ScoreSpec, Scoring
from shared.errors import TooFewObjects, ZeroVector
from shared.outcomes import Attempt, Manifest
from shared.store import MemoryStore, ObjectStore
from shared.vectors import Vectors

Doubles = npt.NDArray[np.float64]
Maker = Callable[..., tuple[Doubles, Doubles]]
Comparer = Callable[..., Comparison]
WHOLE = (
    "cka", "cka-debiased", "cka-rbf", "svcca", "pwcca", "procrustes", "rsa", "linear-predictivity",
    "mi-gaussian", "mi-ksg",
)  # fmt: skip
SAMPLED = ("cka-rbf", "rsa", "mi-ksg")
_FORTY = id_set_digest(f"g{row:05d}" for row in range(40))
VALUES: dict[str, Callable[[npt.NDArray[np.float32], npt.NDArray[np.float32]], float]] = {
    "cka": linear_cka,
    "cka-debiased": debiased_cka,
    "cka-rbf": rbf_cka,
    "svcca": svcca,
    "pwcca": pwcca,
    "procrustes": procrustes_similarity,
    "rsa": rsa,
    "linear-predictivity": lambda left, right: linear_predictivity(left, right, open_stream("folds", 0, _FORTY)),
    "mi-gaussian": gaussian_information,
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("shape", [(60, 6, 8), (30, 50, 40)])
def test_a_related_pair_is_told_with_all_it_is_worth(
    make_pair: Maker, compare: Comparer, name: str, shape: tuple[int, int, int]
) -> None:
    measured = find_metric(name, 1).measure(compare(*make_pair(1, *shape, signal=3)))
    assert measured.p_value == 1 / 100
    assert measured.null is not None
    assert len(measured.null) == 99
    assert measured.null_mean is not None
    assert measured.null_std is not None
    assert measured.threshold is not None
    assert measured.null_mean < measured.threshold < measured.value
    assert measured.chance in (None, measured.null_mean)
    assert (measured.chance is not None) == (name in {"cka", "cka-debiased", "cka-rbf", "rsa"})
    if name.startswith("mi-"):
        assert measured.calibrated is None
    else:
        expected = (measured.value - measured.threshold) / (1 - measured.threshold)
        assert measured.calibrated == pytest.approx(expected, abs=1e-9)
    assert measured.interval is not None
    assert measured.interval.low < measured.value < measured.interval.high
    assert measured.interval.method == ("bootstrap" if name == "linear-predictivity" else "jackknife")
    assert measured.standard_error is not None
    assert measured.standard_error > 0
    assert measured.details["objects"] == shape[0]


@pytest.mark.parametrize("name", VALUES)
def test_the_value_is_that_of_the_function(make_pair: Maker, compare: Comparer, name: str) -> None:
    comparison = compare(*make_pair(2, 40, 6, 8))
    left, right = comparison.left.vectors().matrix, comparison.right.vectors().matrix
    assert METRICS[name].measure(comparison).value == pytest.approx(VALUES[name](left, right), abs=1e-10)


@pytest.mark.parametrize("name", ["linear-predictivity", "mi-ksg"])
def test_parts_of_objects_have_the_value_as_their_mean(make_pair: Maker, compare: Comparer, name: str) -> None:
    measured = METRICS[name].measure(compare(*make_pair(3, 40, 6, 8)))
    assert measured.per_object is not None
    assert measured.per_object.shape == (40,)
    assert measured.per_object.mean() == pytest.approx(measured.value, abs=1e-10)


def test_two_directions_make_one_value(make_pair: Maker, compare: Comparer) -> None:
    details = METRICS["linear-predictivity"].measure(compare(*make_pair(4, 60, 3, 12))).details
    value = METRICS["linear-predictivity"].measure(compare(*make_pair(4, 60, 3, 12))).value
    assert (details["left_to_right"] + details["right_to_left"]) / 2 == pytest.approx(value, abs=1e-10)
    assert details["left_to_right"] != details["right_to_left"]


def test_the_null_is_that_of_the_pairs_slow_relabellings(make_pair: Maker, compare: Comparer) -> None:
    comparison = compare(*make_pair(5, 40, 6, 8, signal=0.1), slow_permutations=150)
    measured = METRICS["cka"].measure(comparison)
    vectors = comparison.left.vectors().matrix, comparison.right.vectors().matrix
    similarity = Alignment(linear_kernels(*vectors))
    null = relabelled_values(similarity, comparison.permutations(slow=True))
    expected = calibrate(similarity.value(), null, 0.95)
    assert len(null) == 150
    assert measured.null == pytest.approx(null, abs=1e-10)
    assert (measured.threshold, measured.p_value) == pytest.approx((expected.threshold, expected.p_value), abs=1e-10)


def test_relabellings_that_tie_are_counted(compare: Comparer) -> None:
    """Two halves of equal vectors on both sides: one relabelling in 35 parts them as they are."""
    left = np.repeat([[0.0, 0.1], [1.0, 0.3]], 4, axis=0)
    right = np.repeat([[0.7, 0.0, 0.2], [0.1, 0.5, 0.3]], 4, axis=0)
    comparison = compare(left, right, slow_permutations=999)
    p = METRICS["procrustes"].measure(comparison).p_value
    assert p == pytest.approx(2 / 70, abs=0.02)  # of the 70 ways to choose four of eight, two


@pytest.mark.parametrize("name", SAMPLED)
def test_of_many_objects_a_sample_is_measured(
    make_pair: Maker, compare: Comparer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(judging, "MOST_OBJECTS", 30)
    left, right = make_pair(6, 50, 6, 8)
    comparison = compare(left, right)
    measured = METRICS[name].measure(comparison)
    assert measured.details["objects"] == 30
    assert measured.per_object is None
    assert measured.value == METRICS[name].measure(comparison).value
    rows = judging.sample_of(comparison)
    assert rows is not None
    assert len(set(rows.tolist())) == 30
    monkeypatch.setattr(judging, "MOST_OBJECTS", 50)
    assert judging.sample_of(comparison) is None
    assert measured.value == pytest.approx(METRICS[name].measure(compare(left[rows], right[rows])).value, abs=1e-9)
    assert measured.p_value == 1 / 100


def test_a_vector_without_a_direction_is_named(make_pair: Maker, compare: Comparer) -> None:
    left, right = make_pair(7, 20, 3, 3)
    right[4] = 0
    with pytest.raises(ZeroVector, match="g00004"):
        METRICS["rsa"].measure(compare(left, right))


@pytest.mark.parametrize("name", WHOLE)
def test_too_few_objects_are_not_judged(make_pair: Maker, compare: Comparer, name: str) -> None:
    with pytest.raises(TooFewObjects):
        METRICS[name].measure(compare(*make_pair(8, 7, 3, 3)))


def test_all_of_them_make_one_record(
    make_pair: Maker,
    make_spec: Callable[..., EmbeddingSpec],
    store_embedding: Callable[[ObjectStore, EmbeddingSpec, Vectors], Manifest],
) -> None:
    """From a store to a record, ids shuffled on one side."""
    store, ids = MemoryStore(), tuple(f"g{row:03d}" for row in range(200))
    order = np.random.default_rng(9).permutation(200)
    specs = make_spec("hsc"), make_spec("jwst")
    left, right = (Vectors(ids, side.astype(np.float32)) for side in make_pair(10, 200, 12, 12))
    store_embedding(store, specs[0], left)
    store_embedding(store, specs[1], right.take(order))
    spec = ScoreSpec(pair=PairSpec(left=specs[0], right=specs[1]), scoring=Scoring(metrics=WHOLE, slow_permutations=99))
    record = score(spec, store=store, threads=1, attempt=Attempt(name="a1", worker="w"))
    assert [result.label for result in record.results] == list(WHOLE)
    cka = record.result("cka")
    assert cka is not None
    assert cka.value == pytest.approx(linear_cka(left.matrix, right.matrix), abs=1e-9)
