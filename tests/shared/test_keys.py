"""Keys: readable in front, a digest behind, and every one of them fit for every store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared import keys
from shared.contracts import EmbeddingSpec, PairSpec, ScoreSpec
from shared.errors import BadName
from shared.store import check_key, check_prefix

SpecMaker = Callable[..., EmbeddingSpec]


def test_keys_begin_with_what_people_read(make_spec: SpecMaker) -> None:
    spec = make_spec()
    prefix = f"embeddings/tiny/hsc/fake-8/final/{spec.digest}/"
    assert keys.manifest(spec) == prefix + "manifest.json"
    assert keys.part(spec, "a1", 7) == prefix + "attempts/a1/part-00007.parquet"
    assert keys.part_receipt(spec, "a1", 7) == prefix + "attempts/a1/part-00007.json"


def test_the_index_is_read_back_from_a_receipts_key_alone(make_spec: SpecMaker) -> None:
    spec = make_spec()
    for index in (0, 7, 99_999, 123_456):
        assert keys.receipt_index(keys.part_receipt(spec, "a1", index)) == index
        assert keys.receipt_index(keys.part(spec, "a1", index)) is None
    assert keys.receipt_index(keys.manifest(spec)) is None


def test_every_key_is_fit_for_every_store(make_spec: SpecMaker) -> None:
    longest = "n" * 64
    names = {"dataset__name": longest, "modality__name": longest, "model__name": longest, "layer": longest}
    left, right = make_spec(**names), make_spec(**{**names, "modality__name": "m" * 64})
    score = ScoreSpec(pair=PairSpec(left=left, right=right))
    for key in (
        keys.manifest(left),
        keys.ending(keys.work_endings(left.dataset.name), left.digest, 0, "failed"),
        keys.part(left, longest, 1_000_000),
        keys.part_receipt(left, longest, 1_000_000),
        keys.neighbours(left.digest, right.digest, 1000),
        keys.score(score),
        keys.score_objects(score),
        keys.score_nulls(score),
        keys.ending(keys.study_endings(), score.digest, 3, "cancelled"),
        keys.study("0" * 32),
    ):
        assert check_key(key) == key
    for prefix in (keys.embedding_prefix(left), keys.attempts_prefix(left), keys.pair_prefix(score.pair), keys.STUDIES):
        assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("attempt", ["", "../x", "a/b", "A"])
def test_an_attempt_cannot_leave_its_prefix(make_spec: SpecMaker, attempt: str) -> None:
    with pytest.raises(BadName):
        keys.part(make_spec(), attempt, 0)


@pytest.mark.parametrize("study", ["", "../secrets", "x" * 32])
def test_a_study_id_from_outside_is_checked(study: str) -> None:
    with pytest.raises(BadName):
        keys.study(study)
