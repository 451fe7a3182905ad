"""What a user asks for: which fields go together, and where a wrong one is."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from shared.modalities import CatalogueColumn
from shared.requests import DatasetRequest, LabelRequest, ModalityRequest, StudyRequest

OWN: dict[str, Any] = {"name": "sky", "folder": "sky", "modalities": {"hsc": {"column": "x", "bands": ["g"]}}}


def test_each_kind_has_a_plain_recipe_that_may_be_left_out() -> None:
    fields: dict[str, dict[str, Any]] = {
        "image": {"column": "x", "bands": ("g",)},
        "spectrum": {"column": "x"},
        "text": {"columns": ("u",)},
    }
    recipes = {
        kind: ModalityRequest.model_validate({"kind": kind, **given}).define("m").recipe
        for kind, given in fields.items()
    }
    assert recipes == {"image": "arcsinh-image-v1", "spectrum": "spectrum-v1", "text": "sentence-v1"}
    assert LabelRequest(column="z").define("redshift").recipe == "label-v1"
    other = ModalityRequest.model_validate({**fields["image"], "recipe": "arcsinh-match-v1"})
    assert other.define("m").recipe == "arcsinh-match-v1"


def test_a_column_of_a_text_may_be_a_bare_name() -> None:
    given = {"kind": "text", "columns": ["u", {"name": "g", "title": "g flux", "unit": "Jy", "missing": [-99, "n/a"]}]}
    bare, full = ModalityRequest.model_validate(given).define("m").columns
    assert bare == CatalogueColumn(name="u")
    assert full == CatalogueColumn(name="g", title="g flux", unit="Jy", missing=(-99.0, "n/a"))


@pytest.mark.parametrize(
    ("modality", "field", "says"),
    [
        ({"bands": ["g"]}, "column", "Field required"),
        ({"kind": "spectrum"}, "column", "Field required"),
        ({"column": ""}, "column", "Field required"),
        ({"column": "x" * 129}, "column", "at most 128 characters"),
        ({"kind": "text"}, "columns", "Field required"),
        ({"kind": "text", "columns": []}, "columns", "Field required"),
        ({"kind": "text", "columns": ["u"], "column": "x"}, "column", "has `columns`"),
        ({"column": "x", "columns": ["u"]}, "columns", "has `column`"),
        ({"kind": "text", "columns": [3]}, "columns", "valid dictionary"),
        ({"kind": "text", "columns": [""]}, "columns", "at least 1 character"),
        ({"kind": "text", "columns": [{"name": "u", "missing": [float("nan")]}]}, "columns", "finite number"),
        ({"kind": "label", "column": "z"}, "kind", "'image', 'spectrum', 'light-curve', 'text'"),
    ],
)
def test_where_the_data_of_a_modality_stand_is_asked_for_by_its_kind(
    modality: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        DatasetRequest.model_validate({**OWN, "modalities": {"m": modality}})
    errors = [error for error in refused.value.errors() if "m" in error["loc"]]
    assert any(field in error["loc"] and says in error["msg"] for error in errors), errors


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        ({**OWN, "labels": ["redshift"]}, "defines its labels as a mapping"),
        ({"name": "mocksky", "labels": {"redshift": {"column": "z"}}}, "names them in a list"),
        ({**OWN, "labels": {"hsc": {"column": "z"}}}, "hsc is a modality and a label"),
        ({**OWN, "labels": {"../z": {"column": "z"}}}, "cannot be a name"),
        ({**OWN, "labels": {"z": {}}}, "Field required"),
        ({**OWN, "labels": {"z": {"column": "z", "classes": [1, 2]}}}, "valid string"),
    ],
)
def test_labels_are_given_as_modalities_are(dataset: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        DatasetRequest.model_validate(dataset)


def test_labels_that_are_named_must_be_probed_and_those_that_are_defined_need_not() -> None:
    chosen = {"datasets": [{"name": "mocksky", "labels": ["redshift"]}], "models": ["vit-base"]}
    with pytest.raises(ValidationError, match="labels of mocksky are named, but `pairs` has no `probes`"):
        StudyRequest.model_validate(chosen)
    assert StudyRequest.model_validate({**chosen, "pairs": ["probes"]}).datasets[0].labels == ("redshift",)
    defined = {"datasets": [{**OWN, "labels": {"z": {"column": "z"}}}], "models": ["vit-base"]}
    assert StudyRequest.model_validate(defined).pairs == ("crossmodal",)


@pytest.mark.parametrize("asked", [{"dtype": "bfloat16"}, {"layers": ["all"]}])
def test_vectors_that_are_given_are_not_computed_otherwise(asked: dict[str, Any]) -> None:
    given = {"datasets": [{"name": "mine", "folder": "/data/mine", "embeddings": "all"}]}
    assert StudyRequest.model_validate(given).models == ()
    with pytest.raises(ValidationError, match="published vectors are as they are"):
        StudyRequest.model_validate({**given, **asked})
