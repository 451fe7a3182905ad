"""Which modalities a model is given: those of its kind and, where it knows only some, those it knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shared.contracts import EmbeddingSpec, ModelRef, Scoring
from shared.errors import BadStudy
from shared.modalities import Modality
from shared.planning import expand, refuse_unseen

SpecMaker = Callable[..., EmbeddingSpec]


def image(name: str, *bands: str) -> Modality:
    return Modality(name=name, kind="image", column=f"{name}_image", recipe="arcsinh-image-v1", bands=bands)


def spectrum(name: str) -> Modality:
    return Modality(name=name, kind="spectrum", column="spectrum", recipe="spectrum-v1")


HSC, JWST = image("hsc", "hsc-g", "hsc-r", "hsc-z"), image("jwst", "f090w", "f277w", "f444w")
MINE = image("mine", "hsc-g", "other-r", "other-z")


@pytest.fixture
def model(make_spec: SpecMaker) -> Callable[..., ModelRef]:
    """A model of images, but for what is given."""
    plain = make_spec().model

    def make(**given: Any) -> ModelRef:
        return plain.model_copy(update=given)

    return make


def test_a_model_takes_what_has_a_band_or_a_name_that_it_knows(model: Callable[..., ModelRef]) -> None:
    knowing = model(knows=("hsc-g", "des-g"))
    assert [knowing.can_take(seen) for seen in (HSC, JWST, MINE)] == [True, False, True]
    assert all(model().can_take(seen) for seen in (HSC, JWST, MINE))
    of_desi = model(takes="spectrum", knows=("desi",))
    assert [of_desi.can_take(seen) for seen in (spectrum("desi"), spectrum("sdss"), HSC)] == [True, False, False]
    assert not model(knows=("desi",)).can_take(spectrum("desi"))


def test_a_study_has_no_job_for_what_a_model_does_not_know(
    model: Callable[..., ModelRef], make_spec: SpecMaker
) -> None:
    models = [model(name="any", family="any"), model(name="aion", family="aion", knows=("hsc-g",))]
    study = expand([(make_spec().dataset, [HSC, JWST])], models, ["all"], Scoring(), created_at="now")
    seen = {(spec.modality.name, spec.model.name) for spec in study.embeddings}
    assert seen == {("hsc", "any"), ("jwst", "any"), ("hsc", "aion")}


def test_a_modality_asked_for_by_name_that_no_model_knows_is_refused(model: Callable[..., ModelRef]) -> None:
    refuse_unseen("jwst_hsc", [HSC], [model(knows=("hsc-g",))])
    with pytest.raises(BadStudy, match="no model of the study takes jwst of jwst_hsc"):
        refuse_unseen("jwst_hsc", [HSC, JWST], [model(knows=("hsc-g",))])
