"""The link between alignment and probes: against SciPy, by counting, and what it says of few models."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, norm, rankdata, spearmanr

from scorer.link import ModelPoint, measure_links, points_of
from scorer.ranks import kendall, mid_ranks, spearman
from shared.contracts import EmbeddingSpec, PairSpec, ScoreSpec
from shared.errors import BadInput
from shared.modalities import Modality
from shared.outcomes import MetricResult, Provenance, ScoreRecord

Maker = Callable[..., EmbeddingSpec]
few = st.lists(st.integers(0, 4), min_size=3, max_size=12)


def _points(
    alignment: Sequence[float], probed: Sequence[float], *, label: str = "redshift", families: int = 3
) -> list[ModelPoint]:
    return [
        ModelPoint(
            dataset="jwst_hsc",
            label=label,
            modalities=("hsc", "jwst"),
            model=f"m{place}",
            family=f"f{place % families}",
            alignment=value,
            left_probe=told - 0.1,
            right_probe=told + 0.1,
        )
        for place, (value, told) in enumerate(zip(alignment, probed, strict=True))
    ]


@given(pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=30))
def test_ranks_and_correlations_are_scipys(pairs: list[tuple[int, int]]) -> None:
    left, right = np.array(pairs, dtype=np.float64).T
    assert mid_ranks(left).tolist() == rankdata(left).tolist()
    if np.ptp(left) and np.ptp(right):
        assert spearman(left, right) == pytest.approx(spearmanr(left, right).statistic, abs=1e-12)
        assert kendall(left, right) == pytest.approx(kendalltau(left, right).statistic, abs=1e-12)
    else:
        assert spearman(left, right) is kendall(left, right) is None


@pytest.mark.parametrize("tied", [False, True])
def test_few_models_have_an_exact_p_value(tied: bool) -> None:
    stream = np.random.default_rng(1)
    alignment, probed = stream.random(6), stream.random(6)
    if tied:
        alignment, probed = alignment.round(), probed.round(1)
    (link,) = measure_links(_points(alignment.tolist(), probed.tolist()))
    every = [np.array(order) for order in itertools.permutations(range(6))]
    for found, p_value, correlation in (
        (link.spearman, link.spearman_p, lambda a, b: spearmanr(a, b).statistic),
        (link.kendall, link.kendall_p, lambda a, b: kendalltau(a, b).statistic),
    ):
        observed = correlation(alignment, probed)
        assert found == pytest.approx(observed)
        null = np.array([correlation(alignment[order], probed) for order in every])
        assert p_value == pytest.approx(np.mean(null >= observed - 1e-9))
    assert (link.models, link.families, link.permutations, link.note) == (6, 3, 0, "")


def test_many_models_have_one_by_drawing() -> None:
    rising = _points(range(20), range(20))
    (link,) = measure_links(rising, permutations=999)
    assert (link.spearman, link.kendall, link.permutations) == (1, 1, 999)
    assert link.spearman_p == link.kendall_p == 1 / 1000
    stream = np.random.default_rng(2)
    shuffled = [rising[place] for place in stream.permutation(20)]
    assert measure_links(shuffled, permutations=999) == (link,)
    (none,) = measure_links(_points(stream.random(20).tolist(), stream.random(20).tolist()), permutations=999)
    assert none.spearman_p is not None
    assert none.spearman is not None
    assert none.spearman_p == pytest.approx(norm.sf(none.spearman * np.sqrt(19)), abs=0.05)


@given(alignment=few, seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_only_order_counts(alignment: list[int], seed: int) -> None:
    probed = np.random.default_rng(seed).random(len(alignment))
    (link,) = measure_links(_points(alignment, probed.tolist()), permutations=99)
    (grown,) = measure_links(_points(np.exp(alignment).tolist(), (10 * probed).tolist()), permutations=99)
    assert grown == link


def test_too_few_models_are_said_to_be_too_few() -> None:
    for models in (1, 2):
        (link,) = measure_links(_points(range(models), range(models)))
        assert link.model_dump(exclude_defaults=True).keys() & {"spearman", "kendall", "spearman_p"} == set()
        assert link.note == f"{models} models: no correlation can be told from so few"
    for models in (3, 4):
        (link,) = measure_links(_points(range(models), range(models)))
        assert (link.spearman, link.spearman_p, link.kendall_p) == (1, None, None)
        assert "too often for a p-value" in link.note


def test_models_of_one_value_have_no_order() -> None:
    (link,) = measure_links(_points([0.5] * 6, range(6)))
    assert (link.spearman, link.kendall, link.spearman_p) == (None, None, None)
    assert "no order" in link.note


def test_sizes_of_one_family_are_said_to_be_so() -> None:
    (link,) = measure_links(_points(range(6), range(6), families=1))
    assert link.note == "the 6 models are of one family"


def test_each_label_has_its_own_link_and_a_model_stands_in_it_once() -> None:
    both = [*_points(range(6), range(6)), *_points(range(6), range(6, 0, -1), label="mass")]
    assert [(link.label, link.spearman) for link in measure_links(both)] == [("mass", -1), ("redshift", 1)]
    assert measure_links([]) == ()
    with pytest.raises(BadInput, match="of redshift in jwst_hsc, m0 is given more than once"):
        measure_links([*both, both[0]])


def _record(left: EmbeddingSpec, right: EmbeddingSpec, *results: MetricResult) -> ScoreRecord:
    return ScoreRecord(
        spec=ScoreSpec(pair=PairSpec(left=left, right=right)),
        left_objects=9,
        right_objects=9,
        objects=9,
        results=results,
        per_object="k",
        provenance=Provenance(
            left_manifest="0" * 64, right_manifest="0" * 64, packages={}, seconds=0, threads=1, created_at="", worker=""
        ),
    )


def test_points_are_gathered_from_records(make_spec: Maker) -> None:
    def result(metric: str, value: float, k: int | None = None) -> MetricResult:
        return MetricResult(metric=metric, metric_version=1, k=k, value=value)

    label_model = make_spec().model.model_copy(update={"name": "label", "takes": "label"})
    labels = [
        make_spec().model_copy(
            update={
                "modality": Modality(name=name, kind="label", column=name, recipe="label-v1"),
                "model": label_model,
            }
        )
        for name in ("age", "redshift")
    ]
    records = []
    for place, model in enumerate(("vit-base", "vit-large")):
        hsc, jwst = (make_spec(modality, model=model, family="vit") for modality in ("hsc", "jwst"))
        records.append(_record(hsc, jwst, result("mknn", 0.1 + place, 5), result("mknn", 0.2 + place, 10)))
        for label in labels:
            records.append(_record(hsc, label, result("ridge-probe", 0.5 + place), result("knn-probe", 0.3, 10)))
            if not (label is labels[0] and model == "vit-large"):  # age is not told from jwst by vit-large
                records.append(_record(jwst, label, result("ridge-probe", 0.7 + place), result("knn-probe", 0.4, 10)))
    points = points_of(records)
    assert [(point.model, point.label, point.alignment, point.probed) for point in points] == [
        ("vit-base", "age", 0.1, pytest.approx(0.6)),
        ("vit-base", "redshift", 0.1, pytest.approx(0.6)),
        ("vit-large", "redshift", 1.1, pytest.approx(1.6)),
    ]
    assert points[0].modalities == ("hsc", "jwst")
    by_neighbours = points_of(records, probe="knn-probe", k=10)
    assert (by_neighbours[0].alignment, by_neighbours[0].probed) == (0.2, pytest.approx(0.35))
    at_ten = points_of(records, k=10)
    assert [(point.alignment, point.probed) for point in at_ten[:1]] == [(0.2, pytest.approx(0.6))], "ridge has no k"
    assert points_of(records, metric="cka") == points_of(records[:1]) == []


def test_two_cuts_of_a_dataset_are_two_datasets() -> None:
    points = [_points([0.1], [0.2])[0].model_copy(update={"dataset_digest": digest}) for digest in ("a", "b")]
    assert [(link.dataset_digest, link.models) for link in measure_links(points)] == [("a", 1), ("b", 1)]
