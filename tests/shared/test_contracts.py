"""The contracts: what decides a digest, what does not, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from shared.contract import Contract
from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef, PairSpec, ScoreSpec, Scoring, Study
from shared.modalities import Modality
from shared.outcomes import Interval, Manifest, Part

SpecMaker = Callable[..., EmbeddingSpec]

# Every field of a specification, with another value. A field that is added must be added here: it is either
# identity, and changes every key from then on, or it is not.
IDENTITY = {
    "dataset__name": "other",
    "dataset__revision": "v2",
    "dataset__source": "hub",
    "dataset__split": "test",
    "dataset__id_column": "id",
    "dataset__rows": 101,
    "dataset__simulated": False,
    "modality__name": "jwst",
    "modality__kind": "spectrum",
    "modality__column": "other",
    "modality__recipe": "other-v1",
    "modality__bands": ("hsc-g", "hsc-r", "hsc-i"),
    "modality__field_arcsec": 3.5,
    "modality__scale_arcsec": 0.2,
    "model__name": "fake-9",
    "model__family": "other",
    "model__adapter": "other",
    "model__checkpoint": "other",
    "model__revision": "2",
    "model__pooling": "cls",
    "model__takes": "spectrum",
    "model__options": {"prompt": "<image> "},
    "model__recipe": "flux-v1",
    "layer": "block-3",
    "dtype": "bfloat16",
}
OF_OTHER_KINDS = {  # identity too, of modalities that are no image
    "modality__columns": ({"columns": ({"name": "u"},)}, {"columns": ({"name": "g"},)}),
    "modality__unit": ({"column": "z", "unit": ""}, {"column": "z", "unit": "km / s"}),
    "modality__missing": ({"column": "z", "missing": (-1.0,)}, {"column": "z", "missing": (-99.0,)}),
    "modality__dimension": ({"column": "v", "dimension": 8}, {"column": "v", "dimension": 9}),
    "modality__cadence_days": ({"column": "c"}, {"column": "c", "cadence_days": 2}),
    "modality__classes": ({"column": "z", "classes": ("I", "II")}, {"column": "z", "classes": ("II", "I")}),
    "modality__made_of": (
        {"column": "v", "dimension": 8, "made_of": "image"},
        {"column": "v", "dimension": 8, "made_of": "spectrum"},
    ),
}
NOT_IDENTITY = {
    "dataset__location": "elsewhere",
    "model__parameters": 9.0,
    "model__part_rows": 50,
    "model__knows": ("hsc-g",),
}


def test_every_field_is_known_to_be_identity_or_not() -> None:
    rooms: dict[str, type[Contract]] = {"dataset": DatasetRef, "modality": Modality, "model": ModelRef}
    fields = {f"{room}__{field}" for room, contract in rooms.items() for field in contract.model_fields}
    assert fields | {"layer", "dtype"} == set(IDENTITY) | set(OF_OTHER_KINDS) | set(NOT_IDENTITY)
    assert set(EmbeddingSpec.model_fields) == {*rooms, "layer", "version", "dtype"}


@pytest.mark.parametrize("field", IDENTITY)
def test_what_would_change_the_vectors_changes_the_digest(make_spec: SpecMaker, field: str) -> None:
    changed = make_spec(**{field: IDENTITY[field]})
    assert changed.digest != make_spec().digest


@pytest.mark.parametrize("field", OF_OTHER_KINDS)
def test_what_would_change_a_text_or_a_label_changes_the_digest(field: str) -> None:
    kinds = {"modality__columns": "text", "modality__cadence_days": "light-curve"}
    kinds |= {"modality__dimension": "vector", "modality__made_of": "vector"}
    kind = kinds.get(field, "label")
    one, other = (Modality(name="m", kind=kind, recipe="r-v1", **fields) for fields in OF_OTHER_KINDS[field])
    assert one.digest != other.digest


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("text", {}, "at least one"),
        ("text", {"column": "u", "columns": ({"name": "u"},)}, "have no `column`"),
        ("text", {"columns": ({"name": "u"}, {"name": "u"})}, "told once each"),
        ("text", {"columns": ({"name": "u"},), "missing": (0.0,)}, "for a label"),
        ("text", {"columns": ({"name": "u"},), "bands": ("g",)}, "for an image"),
        ("text", {"columns": ({"name": "u\n"},)}, "control characters"),
        ("label", {"column": "z", "field_arcsec": 1.0}, "for an image"),
        ("label", {}, "one `column`"),
        ("label", {"column": "z", "columns": ({"name": "u"},)}, "one `column`"),
        ("label", {"column": "z", "classes": ("I",)}, "at least two words"),
        ("label", {"column": "z", "classes": ("I", "I")}, "each once"),
        ("label", {"column": "z", "classes": ("I", "II ")}, "without white space"),
        ("spectrum", {"column": "s", "unit": "Jy"}, "for a label"),
        ("spectrum", {"column": "s", "made_of": "image"}, "for a vector"),
        ("spectrum", {"column": "s", "cadence_days": 1}, "for a light curve"),
        ("light-curve", {}, "one `column`"),
        ("light-curve", {"column": "c", "bands": ("g", "r")}, "of one band, not 2"),
        ("light-curve", {"column": "c", "scale_arcsec": 1}, "for an image"),
        ("light-curve", {"column": "c", "cadence_days": 0}, "greater than 0"),
    ],
)
def test_a_modality_has_the_fields_of_its_kind(kind: str, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Modality.model_validate({"name": "m", "kind": kind, "recipe": "r-v1", **fields})


@pytest.mark.parametrize("field", NOT_IDENTITY)
def test_what_would_not_leaves_it(make_spec: SpecMaker, field: str) -> None:
    changed = make_spec(**{field: NOT_IDENTITY[field]})
    assert changed != make_spec()
    assert changed.digest == make_spec().digest


def test_digests_do_not_change_between_releases(make_spec: SpecMaker) -> None:
    """Written down once: a change here means that all stored work is done again, and needs a new version."""
    left, right = make_spec(), make_spec(modality__name="jwst")
    pair = PairSpec(left=left, right=right)
    assert left.digest == "9e11b3f367a2704ec5759ff01e763e50"
    assert pair.digest == "c147f62981d5c8617bd5d61c77624f6f"
    assert ScoreSpec(pair=pair).digest == "94ecdc977a67569d8a997d70905132ba"


def test_a_pair_has_no_order(make_spec: SpecMaker) -> None:
    a, b = make_spec(), make_spec(modality__name="jwst")
    assert PairSpec(left=a, right=b) == PairSpec(left=b, right=a)
    assert PairSpec(left=a, right=b).digest == PairSpec(left=b, right=a).digest
    assert PairSpec(left=b, right=a).label == "tiny/hsc/fake-8|tiny/jwst/fake-8"


def test_pairs_have_a_kind(make_spec: SpecMaker) -> None:
    ours = make_spec()
    assert PairSpec(left=ours, right=make_spec(modality__name="jwst")).kind == "crossmodal"
    assert PairSpec(left=ours, right=make_spec(model__name="fake-9")).kind == "intramodal"
    other = make_spec(model__name="fake-9", modality__name="jwst")
    assert PairSpec(left=ours, right=other).kind == "other"
    assert PairSpec(left=ours, right=make_spec(model__name="x", model__family="y")).kind == "other"


def test_pairs_that_cannot_be_are_refused(make_spec: SpecMaker) -> None:
    with pytest.raises(ValidationError, match="not of one with itself"):
        PairSpec(left=make_spec(), right=make_spec(dataset__location="elsewhere"))
    for change in ({"dataset__name": "other"}, {"dataset__revision": "v2"}):
        with pytest.raises(ValidationError, match="a pair is of one dataset"):
            PairSpec(left=make_spec(), right=make_spec(modality__name="jwst", **change))


def _part(index: int, start: int, stop: int, rows: int) -> Part:
    return Part(
        index=index,
        start=start,
        stop=stop,
        key=f"some/part-{index}",
        rows=rows,
        dropped={"empty-image": stop - start - rows} if rows < stop - start else {},
        dimension=4,
        size=10,
        sha256="0" * 64,
        seconds=1,
        worker="w",
    )


def test_a_part_accounts_for_every_row() -> None:
    fields = _part(0, 0, 40, 38).model_dump()
    assert Part(**fields).dropped == {"empty-image": 2}
    with pytest.raises(ValidationError, match="do not account for rows 0 to 40"):
        Part(**{**fields, "dropped": {}})


def test_a_metric_of_another_version_is_another_score(make_spec: SpecMaker) -> None:
    pair = PairSpec(left=make_spec(), right=make_spec(modality__name="jwst"))
    one, two = (ScoreSpec(pair=pair, metric_versions={"mknn": version}) for version in (1, 2))
    assert one.digest != two.digest


def test_a_manifest_must_add_up(make_spec: SpecMaker) -> None:
    parts = (_part(0, 0, 40, 40), _part(1, 40, 80, 39), _part(2, 80, 100, 20))
    fields: dict[str, Any] = {"spec": make_spec(), "dimension": 4, "device": "cpu", "created_at": "now"}
    assert Manifest(**fields, rows=99, parts=parts).rows == 99
    with pytest.raises(ValidationError, match="do not add up"):
        Manifest(**fields, rows=100, parts=parts)
    for wrong in (parts[:2], parts[::-1], (*parts, parts[2]), ()):
        with pytest.raises(ValidationError, match="every part once, in order"):
            Manifest(**fields, rows=99, parts=wrong)


def test_parts_cover_the_rows_once(make_spec: SpecMaker) -> None:
    for rows in (1, 39, 40, 41, 80, 100):
        spec = make_spec(dataset__rows=rows)
        ranges = [spec.part_range(index) for index in range(spec.parts())]
        assert [row for start, stop in ranges for row in range(start, stop)] == list(range(rows))


def test_json_there_and_back(make_spec: SpecMaker) -> None:
    left, right = make_spec(), make_spec(modality__name="jwst", modality__field_arcsec=0.1 + 0.2)
    study = Study(title="été", created_at="now", embeddings=(left, right), pairs=((0, 1),), scoring=Scoring())
    for value in (left, PairSpec(left=left, right=right), *study.scores(), study, _part(0, 0, 1, 1)):
        back = type(value).model_validate_json(value.to_json())
        assert back == value
        assert back.digest == value.digest
        assert back.to_json() == value.to_json()
        assert isinstance(json.loads(value.to_json()), dict)


def test_a_study_is_named_by_what_it_asks(make_spec: SpecMaker) -> None:
    embeddings = (make_spec(), make_spec(modality__name="jwst"))
    asked = Study(created_at="now", embeddings=embeddings, pairs=((0, 1),), scoring=Scoring())
    again = asked.model_copy(update={"created_at": "later", "title": "of another title"})
    assert again.id == asked.id
    other = asked.model_copy(update={"scoring": Scoring(k=5)})
    assert other.id != asked.id
    assert asked.scores()[0].scoring.k == (10,)
    assert asked.model_copy(update={"scoring": Scoring(k=5)}).scores() == other.scores(), "nothing is kept of the old"


@pytest.mark.parametrize(
    ("contract", "fields"),
    [
        (Scoring, {"unknown": 1}),
        (Scoring, {"k": 0}),
        (Scoring, {"metrics": ()}),
        (Scoring, {"metrics": ("../x",)}),
        (Scoring, {"confidence": 1.0}),
        (Interval, {"low": float("nan"), "high": 1.0, "confidence": 0.9}),
        (Modality, {"name": "m", "kind": "image", "column": "c", "recipe": "r", "bands": ("g", "r")}),
        (Modality, {"name": "m", "kind": "movie", "column": "c", "recipe": "r"}),
    ],
)
def test_what_breaks_a_contract_is_refused(contract: type[Contract], fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        contract(**fields)


@pytest.mark.parametrize("field", ["dataset__name", "modality__name", "model__name", "layer"])
def test_no_name_of_a_specification_can_leave_its_prefix(make_spec: SpecMaker, field: str) -> None:
    for name in ("../up", "a/b", "", "A"):
        with pytest.raises(ValidationError, match="cannot be a name"):
            make_spec(**{field: name})


def test_contracts_are_frozen(make_spec: SpecMaker) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_spec().layer = "other"  # type: ignore[misc]
