"""Metrics and probes: two registries, one door each."""

from __future__ import annotations

import pytest

from scorer.metrics import METRICS, PROBES, find_metric, find_probe, results_wanted
from shared.contracts import Scoring
from shared.errors import UnknownName


def test_every_probe_of_a_plain_study_is_known() -> None:
    assert [find_probe(name).name for name in Scoring().probes] == ["ridge-probe", "knn-probe", "label-agreement"]
    assert not METRICS.keys() & PROBES.keys()
    assert all(row.title and row.paper and row.version == 1 for row in PROBES.values())


def test_what_is_asked_of_the_wrong_kind_of_pair_is_refused() -> None:
    with pytest.raises(
        UnknownName, match=r"ridge-probe is a probe, of an embedding and a label; .*name it in `probes`"
    ):
        find_metric("ridge-probe")
    with pytest.raises(UnknownName, match=r"mknn is a metric, of two embeddings; .*name it in `metrics`"):
        find_probe("mknn")


def test_near_probes_are_suggested_and_versions_held_to() -> None:
    with pytest.raises(UnknownName, match=r"there is no probe 'ridge'.*did you mean ridge-probe"):
        find_probe("ridge")
    with pytest.raises(UnknownName, match="version 1 of knn-probe; expected version 2; submit the study again"):
        find_probe("knn-probe", 2)


def test_a_record_of_probes_has_a_result_for_every_k_that_is_counted() -> None:
    scoring = Scoring(metrics=("ridge-probe", "knn-probe", "label-agreement"), k=(5, 10))
    assert results_wanted(scoring) == [
        ("ridge-probe", None),
        ("knn-probe", 5),
        ("knn-probe", 10),
        ("label-agreement", 5),
        ("label-agreement", 10),
    ]
