"""Bodies posted over HTTP: whatever is sent to /v1/studies is a study, or a problem that names what was wrong.

Through the WSGI application, on a real Redis and a store of files; after each refusal both are as they were.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as some

JSON = "application/json"
Plain = dict[str, Any]
Check = Callable[..., Plain]


def own(at: Path, **changes: Any) -> Plain:
    """A dataset of the user's own, as asked for."""
    modalities = {name: {"column": f"{name}_image", "bands": [name]} for name in ("near", "far")}
    return {"name": "twin", "folder": str(at), "id_column": "object_id", "modalities": modalities, **changes}


DATASET = {"datasets": ["mocksky"], "models": ["fake-small"]}


def catalogue(**changes: Any) -> Plain:
    return {**DATASET, **changes}


def scoring(**given_: Any) -> Plain:
    return catalogue(scoring=given_)


def dataset(**changes: Any) -> Plain:
    return catalogue(datasets=[{"name": "mocksky", **changes}])


def hub(name: str) -> Plain:
    return catalogue(datasets=[{"name": "own", "hub": name, "modalities": {"near": {"column": "x", "bands": ["g"]}}}])


TEXTS = [
    ("no bytes", b"", "Expecting value"),
    ("white space", b"   \n", "Expecting value"),
    ("YAML", b"models: [a]", "Expecting value"),
    ("a form", b"models=a&datasets=b", "Expecting value"),
    ("cut", b'{"models": ["fake-small"', "Expecting"),
    ("two bodies", b"{}{}", "Extra data"),
    ("single quotes", b"{'models': []}", "Expecting property name"),
    ("a comma too many", b'{"models": [],}', "Expecting property name"),
    ("NaN", b'{"scoring": {"confidence": NaN}}', "NaN is not a JSON number"),
    ("Infinity", b'{"datasets": [{"limit": Infinity}]}', "Infinity is not a JSON number"),
    ("a key twice", b'{"models": ["fake-small"], "models": ["fake-large"]}', "'models' stands twice"),
    ("a key twice, deeply", b'{"scoring": {"k": 1, "k": 2}}', "'k' stands twice"),
    ("deep lists", b"[" * 100_000, "nested too deeply"),
    ("deep objects", b'{"a":' * 50_000, "nested too deeply"),
    ("a byte order mark", b"\xef\xbb\xbf{}", "BOM"),
    ("UTF-16", json.dumps(DATASET).encode("utf-16"), "not UTF-8"),
    ("UTF-32", json.dumps(DATASET).encode("utf-32"), "not UTF-8"),
    ("Latin letters", b'{"title": "caf\xe9"}', "not UTF-8 (byte"),
    ("an encoded surrogate", b'{"title": "\xed\xa0\x80"}', "not UTF-8"),
    ("an escaped surrogate", rb'{"title": "\ud800"}', "surrogate"),
    ("an escaped surrogate as a key", rb'{"\udfff": 1}', "surrogate"),
    ("a NUL", b'{"title": "\x00"}', "control character"),
    ("a number of 5,000 digits", b'{"scoring": {"k": ' + b"9" * 5000 + b"}}", "digits"),
    ("binary", bytes(range(256)), "not UTF-8"),
    ("a pickle", b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.", "not UTF-8"),
    ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "not UTF-8"),
]


@pytest.mark.parametrize(("raw", "says"), [pytest.param(*case, id=name) for name, *case in TEXTS])
@pytest.mark.usefixtures("nothing_written")
def test_a_body_that_is_no_plain_json_is_400(web: FlaskClient, problem_of: Check, raw: bytes, says: str) -> None:
    problem = problem_of(web.post("/v1/studies", data=raw, content_type=JSON), 400, says)
    assert problem["code"] == "bad-study"


NUMBERS: dict[str, Any] = {"text": "ten", "null": None, "a list": [10], "half of one": 1.5, "an object": {}}
VALUES: list[tuple[str, Any, str]] = [
    ("null", None, '"#"'),
    ("true", True, '"#"'),
    ("a number", 3, '"#"'),
    ("a text", "mocksky", '"#"'),
    ("a list", [DATASET], '"#"'),
    ("an empty object", {}, "#/datasets"),
    ("no models", {"datasets": ["mocksky"]}, "#/models"),
    ("no datasets", {"models": ["fake-small"]}, "#/datasets"),
    ("models that are none", catalogue(models=[]), "#/models"),
    ("datasets that are none", catalogue(datasets=[]), "#/datasets"),
    ("models that are a text", catalogue(models="fake-small"), "#/models"),
    ("models that are an object", catalogue(models={"fake-small": 1}), "#/models"),
    ("a type of number that is none", catalogue(dtype="float8"), "#/dtype"),
    ("a type of number that is a number", catalogue(dtype=16), "#/dtype"),
    ("a model that is a number", catalogue(models=[7]), "#/models/0"),
    ("a model that is null", catalogue(models=[None]), "#/models/0"),
    ("a model that climbs", catalogue(models=["../../etc"]), "#/models/0"),
    ("a model in capital letters", catalogue(models=["FAKE"]), "#/models/0"),
    ("a model with a NUL", catalogue(models=["fake\0small"]), "#/models/0"),
    ("a model of look-alike letters", catalogue(models=["f\u0430ke-small"]), "#/models/0"),
    ("a model of 10,000 letters", catalogue(models=["x" * 10_000]), "#/models/0"),
    ("a model with a line feed", catalogue(models=["fake-small\n"]), "#/models/0"),
    ("2,000 models", catalogue(models=["fake-small"] * 2000), "#/models"),
    ("200 datasets", catalogue(datasets=["mocksky"] * 200), "#/datasets"),
    ("a dataset that is a list", catalogue(datasets=[["mocksky"]]), "#/datasets/0"),
    ("a dataset without a name", catalogue(datasets=[{"limit": 3}]), "#/datasets/0/name"),
    ("a dataset that climbs", dataset(name="../mocksky"), "#/datasets/0/name"),
    ("a dataset with a slash", dataset(name="a/b"), "#/datasets/0/name"),
    ("a dataset without letters", dataset(name=""), "#/datasets/0/name"),
    ("an unknown field", catalogue(modles=["a"]), "did you mean models?"),
    ("an unknown field of a dataset", dataset(limits=3), "did you mean limit?"),
    ("an unknown field of scoring", scoring(permutation=99), "did you mean permutations or slow_permutations?"),
    ("a field of Python's own", catalogue(__class__="x"), "#/__class__"),
    ("a field of 5,000 letters", catalogue(**{"x" * 5000: 1}), "there is no such field"),
    ("a field without letters", catalogue(**{"": 1}), "there is no such field"),
    ("a field with a line feed", catalogue(**{"a\nb": 1}), "there is no such field"),
    ("a policy nobody has", catalogue(pairs=["crosmodal"]), "did you mean crossmodal?"),
    ("policies that are none", catalogue(pairs=[]), "#/pairs"),
    ("policies that are a text", catalogue(pairs="all"), "#/pairs"),
    ("a title that is a number", catalogue(title=3), "#/title"),
    ("a title of 201 letters", catalogue(title="x" * 201), "#/title"),
    ("a title with a NUL", catalogue(title="a\0b"), "#/title"),
    ("a title with an escape", catalogue(title="\x1b[2J"), "#/title"),
    *[(f"k that is {name}", scoring(k=value), "#/scoring/k") for name, value in NUMBERS.items() if value != [10]],
    ("k that is a list of none", scoring(k=[]), "#/scoring/k"),
    ("k that is a list with a text", scoring(k=[5, "ten"]), "#/scoring/k/1"),
    ("k of nought", scoring(k=0), "#/scoring/k"),
    ("k below nought", scoring(k=-1), "#/scoring/k"),
    ("k of more than a thousand", scoring(k=1001), "#/scoring/k"),
    ("k of 1,000 digits", scoring(k=10**1000), "#/scoring/k"),
    ("a seed below nought", scoring(seed=-1), "#/scoring/seed"),
    ("confidence of one", scoring(confidence=1), "#/scoring/confidence"),
    ("confidence of a half", scoring(confidence=0.5), "#/scoring/confidence"),
    ("too few permutations", scoring(permutations=98), "#/scoring/permutations"),
    ("too many resamples", scoring(resamples=100_001), "#/scoring/resamples"),
    ("metrics that are none", scoring(metrics=[]), "#/scoring/metrics"),
    ("scoring that is a list", catalogue(scoring=[]), "#/scoring"),
    ("a limit of nought", dataset(limit=0), "#/datasets/0/limit"),
    ("a limit that is a text", dataset(limit="many"), "#/datasets/0/limit"),
    ("a limit of half an object", dataset(limit=1.5), "#/datasets/0/limit"),
    ("a revision that climbs", dataset(revision="seed0/../../x"), "#/datasets/0/revision"),
    ("a revision of 200 letters", dataset(revision="a" * 200), "#/datasets/0/revision"),
    ("a revision with a space", dataset(revision="seed 0"), "#/datasets/0/revision"),
    ("a split that climbs", dataset(split="../train"), "#/datasets/0/split"),
    ("a folder that is a list", dataset(folder=["/data"]), "#/datasets/0/folder"),
    ("a folder and a hub id", dataset(folder="/data", hub="a/b", modalities={}), "not both"),
    ("a hub id without an owner", hub("sky"), "#/datasets/0/hub"),
    ("a hub id of three names", hub("a/b/c"), "#/datasets/0/hub"),
    ("a hub id that climbs", hub("../secrets"), "#/datasets/0/hub"),
    ("a hub id that climbs further", hub("a/..b"), "#/datasets/0/hub"),
    ("a hub id with two dots", hub("owner/na..me"), "#/datasets/0/hub"),
    ("a hub id with two dashes", hub("owner/na--me"), "#/datasets/0/hub"),
    ("a hub id that ends in a dot", hub("owner/name."), "#/datasets/0/hub"),
    ("a hub id of a git address", hub("owner/name.git"), "#/datasets/0/hub"),
    ("a hub id that is too long", hub(f"{'o' * 90}/{'n' * 90}"), "#/datasets/0/hub"),
    ("a hub id of other letters", hub("\u043e\u0440\u0433/\u043d\u0435\u0431\u043e"), "#/datasets/0/hub"),
    ("a hub id that is a URL", hub("https://example.org/x"), "#/datasets/0/hub"),
    ("a hub id with a line feed", hub("owner/name\n"), "#/datasets/0/hub"),
    ("modalities of a catalogue dataset, defined", dataset(modalities={"hsc": {"column": "x"}}), "catalogue dataset"),
    ("an id column of a catalogue dataset", dataset(id_column="z"), "id_column"),
    ("labels of a catalogue dataset, defined", dataset(labels={"z": {"column": "z"}}), "names them in a list"),
    ("labels that are a number", dataset(labels=3), "#/datasets/0/labels"),
    ("a label that climbs", dataset(labels=["../z"]), "#/datasets/0/labels/0"),
    ("labels that are not probed", dataset(labels=["redshift"]), "`pairs` has no `probes`"),
    ("modalities that are a number", dataset(modalities=3), "#/datasets/0/modalities"),
    ("a modality that climbs", dataset(modalities=["../hsc"]), "#/datasets/0/modalities/0"),
]


@pytest.mark.parametrize(("value", "says"), [pytest.param(*case, id=name) for name, *case in VALUES])
@pytest.mark.usefixtures("nothing_written")
def test_a_body_with_a_bad_field_is_422(web: FlaskClient, problem_of: Check, value: Any, says: str) -> None:
    problem = problem_of(web.post("/v1/studies", data=json.dumps(value), content_type=JSON), 422, says)
    assert problem["code"] == "bad-study"
    assert problem["errors"]


def modality(**changes: Any) -> Callable[[Path], Plain]:
    return lambda folder: own(folder, modalities={"near": {"column": "near_image", "bands": ["near"], **changes}})


def asking(**changes: Any) -> Callable[[Path], Plain]:
    return lambda folder: own(folder, **changes)


def text(*columns: Any, **changes: Any) -> Callable[[Path], Plain]:
    return lambda folder: own(folder, modalities={"near": {"kind": "text", "columns": columns, **changes}})


def label(**changes: Any) -> Callable[[Path], Plain]:
    return lambda folder: own(folder, labels={"z": {"column": "object_id", **changes}})


OWN: list[tuple[str, Callable[[Path], Plain], str, str]] = [
    ("a folder that is not there", asking(folder="{root}/none"), "bad-input", "there is no folder"),
    ("a folder outside the roots", asking(folder="/etc"), "bad-input", "SAMESKY_DATASET_ROOTS"),
    ("a folder that climbs out", asking(folder="{root}/twin/../../.."), "bad-input", "SAMESKY_DATASET_ROOTS"),
    ("the root of all folders", asking(folder="/"), "bad-input", "SAMESKY_DATASET_ROOTS"),
    ("a relative folder", asking(folder="twin"), "bad-input", "SAMESKY_DATASET_ROOTS"),
    ("a folder without letters", asking(folder=""), "bad-study", "#/datasets/0/folder"),
    ("a folder with a NUL", asking(folder="/data\0"), "bad-input", "cannot be a folder"),
    ("a folder of 300 letters", asking(folder="{root}/" + "x" * 300), "bad-input", "cannot be a folder"),
    ("a folder of 10,000 letters", asking(folder="x" * 10_000), "bad-study", "#/datasets/0/folder"),
    ("a folder at a URL", asking(folder="s3://bucket/twin"), "bad-input", "SAMESKY_DATASET_ROOTS"),
    ("a folder of the home of somebody", asking(folder="~root"), "bad-input", "SAMESKY_DATASET_ROOTS"),
    (
        "a file of another split than it has",
        asking(folder="{root}/twin/train-00000-of-00001.parquet", split="test"),
        "unknown-name",
        "'test'",
    ),
    ("no modalities", asking(modalities={}), "bad-study", "defines no modality"),
    ("modalities in a list", asking(modalities=["near"]), "bad-study", "as a mapping"),
    ("a modality's name that climbs", asking(modalities={"../x": {"column": "near_image"}}), "bad-study", "../x"),
    ("a modality without a column", asking(modalities={"near": {"bands": ["near"]}}), "bad-study", "/near/column"),
    ("a column that is not there", modality(column="mid_image"), "missing-column", "has no column mid_image"),
    ("a column that holds no image", modality(column="object_id"), "missing-column", "has no field flux, band"),
    ("a column of 1,000 letters", modality(column="x" * 1000), "bad-study", "/near/column"),
    ("a band that is not there", modality(bands=["mid"]), "missing-band", "has no band mid; it has near"),
    ("two bands", modality(bands=["near", "near"]), "bad-study", "one band or by three"),
    ("bands that are a text", modality(bands="near"), "bad-study", "/near/bands"),
    ("no bands, and no picture", modality(bands=[]), "missing-column", "name the bands of the modality"),
    ("a kind nobody has", modality(kind="images"), "bad-study", "did you mean image?"),
    (
        "an image as a spectrum",
        modality(kind="spectrum", bands=[]),
        "missing-column",
        "has no field ivar, lambda, mask",
    ),
    ("an image by a recipe of spectra", modality(recipe="spectrum-v1"), "bad-study", "is for spectrum data"),
    ("an image as a text", modality(kind="text"), "bad-study", "/near/column"),
    ("a label among the modalities", modality(kind="label"), "bad-study", "/near/kind"),
    ("a text of no columns", text(), "bad-study", "/near/columns"),
    ("a text of a column without letters", text(""), "bad-study", "/near/columns/0"),
    ("a text of a column that is a number", text(3), "bad-study", "/near/columns/0"),
    ("a text of a column with a NUL", text("a\0"), "bad-study", "/near/columns/0"),
    ("a text of a field nobody has", text({"name": "object_id", "units": "Jy"}), "bad-study", "did you mean unit?"),
    ("a text of images", text("near_image"), "bad-table", "plain numbers or strings"),
    ("a text of 101 columns", text(*map(str, range(101))), "bad-study", "/near/columns"),
    ("a text with bands", text("object_id", bands=["g"]), "bad-study", "for an image"),
    ("labels in a list", asking(labels=["z"]), "bad-study", "defines its labels as a mapping"),
    ("a label's name that climbs", asking(labels={"../z": {"column": "object_id"}}), "bad-study", "../z"),
    ("a label without a column", asking(labels={"z": {}}), "bad-study", "/labels/z/column"),
    ("a label of a field nobody has", label(columns="object_id"), "bad-study", "did you mean column?"),
    (
        "a label by the name of a modality",
        asking(labels={"near": {"column": "x"}}),
        "bad-study",
        "modality and a label",
    ),
    ("a label of classes that are numbers", label(classes=[1, 2]), "bad-study", "/labels/z/classes/0"),
    ("a label of a class with a line feed", label(classes=["a", "b\n"]), "bad-study", "/labels/z/classes/1"),
    ("a label of a unit of 65 letters", label(unit="x" * 65), "bad-study", "/labels/z/unit"),
    ("a label that is missing by a list", label(missing=[[0]]), "bad-study", "/labels/z/missing/0"),
    ("a recipe nobody has", modality(recipe="arcsinh-image-v2"), "unknown-name", "arcsinh-image-v1"),
    ("a recipe without these bands", modality(recipe="arcsinh-match-v1"), "bad-study", "no survey percentiles"),
    ("a field larger than the image", modality(field_arcsec=100), "bad-input", "the image has 8"),
    ("a field smaller than a pixel", modality(field_arcsec=0.1), "bad-input", "2 to 8 pixels"),
    ("the smallest field there is", modality(field_arcsec=5e-324), "bad-input", "2 to 8 pixels"),
    ("the largest field there is", modality(field_arcsec=1.7e308), "bad-input", "2 to 8 pixels"),
    ("a field below nought", modality(field_arcsec=-4), "bad-study", "field_arcsec"),
    ("a scale of nought", modality(scale_arcsec=0), "bad-study", "scale_arcsec"),
    ("an id column that is not there", asking(id_column="name"), "missing-column", "has no column name"),
    ("an id column of images", asking(id_column="near_image"), "bad-table", "the object id in column near_image"),
    ("an id column without letters", asking(id_column=""), "bad-study", "id_column"),
    ("a split that is not there", asking(split="test"), "unknown-name", "'test'"),
    ("a limit that leaves k", asking(limit=10), "too-few-objects", "k = 10 neighbours of 10 objects"),
    ("another revision than its content", asking(revision="main"), "bad-study", "is at revision local-"),
]


@pytest.mark.parametrize(("make", "code", "says"), [pytest.param(*case, id=name) for name, *case in OWN])
@pytest.mark.usefixtures("nothing_written")
def test_a_dataset_of_the_users_own_is_problem_of(
    web: FlaskClient, problem_of: Check, twin: Path, make: Callable[[Path], Plain], code: str, says: str
) -> None:
    asked = make(twin)
    asked["folder"] = asked["folder"].replace("{root}", str(twin.parent))
    problem = problem_of(web.post("/v1/studies", json=catalogue(datasets=[asked])), 422, says)
    assert problem["code"] == code


REQUESTS: list[tuple[str, Plain, str, str]] = [
    ("a model nobody has", catalogue(models=["efficientnet-lit0"]), "unknown-name", "efficientnet-lite0"),
    ("bits that a model has not", catalogue(dtype="bfloat16"), "bad-study", "fake-small does not compute in bfloat16"),
    ("a dataset nobody has", catalogue(datasets=["mocksy"]), "unknown-name", "mocksky"),
    ("a metric nobody has", scoring(metrics=["mknnn"]), "unknown-name", "mknn"),
    ("a modality nobody has", dataset(modalities=["hcs"]), "unknown-name", "hsc"),
    ("a modality no model takes", dataset(modalities=["desi"]), "bad-study", "no model of the study takes desi"),
    ("a split of a simulation", dataset(split="test"), "bad-study", "has no split test"),
    ("a revision of no simulation", dataset(revision="v2-seed0"), "bad-study", "has no revision v2-seed0"),
    ("a seed of 40 digits", dataset(revision=f"seed{'9' * 40}"), "bad-study", "has no revision"),
    ("a seed of other digits", dataset(revision="v1-seed-1"), "bad-study", "has no revision"),
    ("more galaxies than there are", dataset(limit=1_000_001), "bad-study", "at most 1000000"),
    ("galaxies without end", dataset(limit=10**300), "bad-study", "at most 1000000"),
    ("k of all objects", {**dataset(limit=10), "scoring": {"k": 10}}, "too-few-objects", "k < 10"),
    ("a label nobody has", {**dataset(labels=["redshfit"]), "pairs": ["probes"]}, "unknown-name", "redshift"),
    ("a probe nobody has", scoring(probes=["ridge-prob"]), "unknown-name", "ridge-probe"),
    ("one modality across", dataset(modalities=["hsc"]), "bad-study", "leave no pair to compare"),
    ("one size within", catalogue(pairs=["intramodal"]), "bad-study", "leave no pair to compare"),
]


@pytest.mark.parametrize(("value", "code", "says"), [pytest.param(*case, id=name) for name, *case in REQUESTS])
@pytest.mark.usefixtures("nothing_written")
def test_a_study_that_cannot_be_is_422(web: FlaskClient, problem_of: Check, value: Plain, code: str, says: str) -> None:
    assert problem_of(web.post("/v1/studies", json=value), 422, says)["code"] == code


HTTP: list[tuple[str, Plain, int, str]] = [
    ("more than a mebibyte", {"data": b" " * (2**20 + 1), "content_type": JSON}, 413, "Too Large"),
    ("a list of a mebibyte", {"data": b"[" + b"1," * 2**19 + b"1]", "content_type": JSON}, 413, "Too Large"),
    ("no content type", {"data": b"{}"}, 415, "the body must be application/json"),
    ("YAML", {"data": b"models: []", "content_type": "application/yaml"}, 415, "application/json"),
    ("a form", {"data": {"models": "a"}}, 415, "application/json"),
    ("a file", {"data": b"{}", "content_type": "multipart/form-data; boundary=x"}, 415, "application/json"),
    ("text", {"data": b"{}", "content_type": "text/plain"}, 415, "application/json"),
    ("a pickle", {"data": b"\x80\x04.", "content_type": "application/x-python-serialize"}, 415, "application/json"),
    ("a content type that is none", {"data": b"{}", "content_type": "json"}, 415, "application/json"),
    ("a patch", {"data": b"{}", "content_type": "application/merge-patch+json"}, 415, "application/json"),
]


@pytest.mark.parametrize(("sent", "status", "says"), [pytest.param(*case, id=name) for name, *case in HTTP])
@pytest.mark.usefixtures("nothing_written")
def test_what_http_refuses_is_a_problem(
    web: FlaskClient, problem_of: Check, sent: Plain, status: int, says: str
) -> None:
    assert problem_of(web.post("/v1/studies", **sent), status, says)["type"] == "about:blank"


PLAIN = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | some.text(),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
WORDS = some.sampled_from(["mocksky", "fake-small", "hsc", "crossmodal", "mknn", "", "../x", "\0", "seed0"])
OF_A_DATASET = ("limit", "revision", "folder", "hub", "split", "id_column", "modalities", "labels")
STUDIES = some.fixed_dictionaries(
    {},
    optional={
        "datasets": some.lists(
            WORDS
            | some.fixed_dictionaries(
                {"name": WORDS},
                optional=dict.fromkeys(OF_A_DATASET, PLAIN | WORDS),
            ),
            max_size=2,
        )
        | PLAIN,
        "models": some.lists(WORDS, max_size=2) | PLAIN,
        "pairs": some.lists(WORDS) | PLAIN,
        "scoring": some.fixed_dictionaries({}, optional=dict.fromkeys(("k", "seed", "metrics", "resamples"), PLAIN))
        | PLAIN,
        "title": PLAIN,
    },
)
QUIET = [HealthCheck.function_scoped_fixture]


@tuned(max_examples=200, deadline=None, derandomize=True, database=None, suppress_health_check=QUIET)
@given(PLAIN | STUDIES)
def test_any_json_is_a_study_or_a_named_problem(web: FlaskClient, problem_of: Check, value: Any) -> None:
    answer = web.post("/v1/studies", data=json.dumps(value).encode(), content_type=JSON)
    if answer.status_code not in (200, 202):
        assert problem_of(answer, answer.status_code, "")["code"]
        assert answer.status_code in (400, 422)
