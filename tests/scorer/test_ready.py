"""A pair is ready when both of its embeddings are done, and not before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.ready import completed_by
from shared.contracts import EmbeddingSpec, Scoring, Study
from shared.planning import choose_pairs

MODALITIES = ("hsc", "jwst", "legacysurvey")


@pytest.fixture(scope="module")
def study(make_spec: Callable[..., EmbeddingSpec]) -> Study:
    """Three modalities by four models, every two compared: 66 pairs."""
    embeddings = tuple(make_spec(modality, model=f"fake-{size}") for modality in MODALITIES for size in range(4))
    pairs = tuple(choose_pairs(embeddings, ["all"]))
    return Study(created_at="2026-01-01", embeddings=embeddings, pairs=pairs, scoring=Scoring(k=5))


@given(order=st.permutations(range(12)))
@settings(max_examples=10, deadline=None)
def test_every_score_is_completed_once_by_its_later_embedding(study: Study, order: list[int]) -> None:
    done: set[str] = set()
    completed = []
    for index in order:
        spec = study.embeddings[index]
        done.add(spec.digest)
        found = completed_by(study, spec.digest, lambda side: side.digest in done)
        assert all(spec.digest in (score.pair.left.digest, score.pair.right.digest) for score in found)
        completed += [score.digest for score in found]
    assert sorted(completed) == sorted(score.digest for score in study.scores())


def test_asks_only_of_this_embedding_and_its_partners(study: Study) -> None:
    crossmodal = study.model_copy(update={"pairs": tuple(choose_pairs(study.embeddings, ["crossmodal"]))})
    asked: list[str] = []

    def is_done(spec: EmbeddingSpec) -> bool:
        asked.append(spec.label)
        return True

    found = completed_by(crossmodal, crossmodal.embeddings[0].digest, is_done)
    assert len(found) == 2
    assert sorted(asked) == [f"mocksky/{modality}/fake-0" for modality in MODALITIES]
    assert all(score.scoring.k == (5,) for score in found)


def test_an_announcement_that_is_not_true_completes_nothing(study: Study) -> None:
    announced = study.embeddings[0].digest
    assert completed_by(study, announced, lambda spec: spec.digest != announced) == ()


def test_an_embedding_nobody_wants_completes_nothing(study: Study, make_spec: Callable[..., EmbeddingSpec]) -> None:
    assert completed_by(study, make_spec("sdss").digest, lambda _: True) == ()
