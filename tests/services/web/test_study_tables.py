"""A study's tables over HTTP, by the client and on the command line: the same numbers in every format."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.table import Table as AstropyTable
from flask import Flask
from flask.testing import FlaskClient
from rich.console import Console
from scipy.stats import false_discovery_control
from typer.testing import CliRunner, Result

from samesky import Client
from scorer.metrics import results_wanted
from services.cli import app as command
from services.cli.overview_tables import matrix_tables
from services.cli.tables import fold_name, score_table
from services.discoveries import Named, PValue, q_values
from shared import keys
from shared.contracts import DatasetRef, EmbeddingSpec, ModelRef, ScoreSpec, Scoring, Study
from shared.modalities import Modality
from shared.outcomes import Interval, MetricResult, Provenance, ScoreRecord
from shared.planning import choose_pairs
from shared.store import MemoryStore

Run = Callable[..., Result]
MODELS = (("vit-base", "vit", 86.0), ("vit-large", "vit", 304.0))
MEDIA = {
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "ecsv": "text/x-ecsv",
    "latex": "application/x-latex",
}
TABLES = ("scores", "matrix", "curves", "layers", "probes")


def make_embedding(
    modality: Modality, name: str, family: str, parameters: float, layer: str = "final"
) -> EmbeddingSpec:
    return EmbeddingSpec(
        dataset=DatasetRef(name="sky", revision="seed0", source="mocksky", location="0", rows=40, simulated=True),
        modality=modality,
        model=ModelRef(
            name=name,
            family=family,
            adapter="fake",
            checkpoint=name,
            revision="1",
            pooling="mean",
            parameters=parameters,
        ),
        layer=layer,
    )


@pytest.fixture(scope="module")
def study() -> Study:
    """Two modalities of two sizes of a family, one of them in two layers, and a label for one embedding; k = 10, 5."""
    seen = [Modality(name=name, kind="image", column=name, recipe="r-v1", bands=("g",)) for name in ("hsc", "jwst")]
    label = Modality(name="redshift", kind="label", column="z", recipe="label-v1", unit="km / s")
    embeddings = [make_embedding(modality, *model) for modality in seen for model in MODELS]
    embeddings += [make_embedding(modality, *MODELS[0], layer="block-02") for modality in seen]
    pairs = choose_pairs(embeddings, ["crossmodal"])
    pairs += [(a, b) for a, b in choose_pairs(embeddings[:4], ["intramodal"])]
    return Study(
        title="Two eyes & one label",
        created_at="2026-01-01T00:00:00+00:00",
        embeddings=(*embeddings, make_embedding(label, "label", "label", 1.0)),
        pairs=(*pairs, (0, len(embeddings))),
        scoring=Scoring(k=[10, 5]),
    )


def make_study(kind: str) -> Study:
    """A study of one kind: of two modalities and a label, with one model or two, in one layer or two."""
    seen = [Modality(name=name, kind="image", column=name, recipe="r-v1", bands=("g",)) for name in ("hsc", "jwst")]
    label = make_embedding(
        Modality(name="redshift", kind="label", column="z", recipe="label-v1"), "label", "label", 0.0
    )
    layers = ("block-02", "final") if kind == "layers" else ("final",)
    models = MODELS if kind == "no scores" else MODELS[:1]
    embeddings = [make_embedding(modality, *model, layer) for modality in seen for model in models for layer in layers]
    embeddings.append(label)
    policies = {"probes": ["probes"], "one model": ["crossmodal", "intramodal"]}.get(kind, ["crossmodal", "probes"])
    return Study(
        created_at="2026-01-01T00:00:00+00:00",
        embeddings=tuple(embeddings),
        pairs=tuple(choose_pairs(embeddings, policies)),
        scoring=Scoring(k=[10, 5]),
    )


def make_record(spec: ScoreSpec, place: int) -> ScoreRecord:
    wanted = results_wanted(spec.scoring)
    return ScoreRecord(
        spec=spec,
        left_objects=40,
        right_objects=40,
        objects=38,
        results=tuple(make_result(metric, k, 0.3 + place / 100 + (k or 0) / 1000, place) for metric, k in wanted),
        per_object=keys.score_objects(spec),
        provenance=Provenance(
            left_manifest="1" * 64,
            right_manifest="2" * 64,
            packages={},
            seconds=0.1,
            threads=1,
            created_at="",
            worker="",
        ),
    )


def make_result(metric: str, k: int | None, value: float, place: int) -> MetricResult:
    return MetricResult(
        metric=metric,
        metric_version=1,
        k=k,
        value=value,
        chance=0.25,
        null_mean=0.25,
        null_std=0.01,
        p_value=(1 + 40 * place) / 1001,
        permutations=1000,
        threshold=0.27,
        calibrated=(value - 0.27) / 0.73,
        interval=Interval(low=value - 0.01, high=value + 0.01, confidence=0.95),
        standard_error=0.005,
        details={"folds_std": 0.02, "rmse": 0.7} if metric.endswith("probe") else {},
    )


@pytest.fixture
def kept(store: MemoryStore, study: Study) -> Study:
    """The study in the store, with the score of every pair."""
    store.put(keys.study(study.id), study.to_json())
    for place, spec in enumerate(study.scores()):
        store.put(keys.score(spec), make_record(spec, place).to_json())
    return study


@pytest.fixture
def client(app: Flask) -> Iterator[Client]:
    with Client("http://localhost", transport=httpx.WSGITransport(app)) as opened:
        yield opened


@pytest.fixture
def run(api_url: str) -> Run:
    """Runs `samesky` with these arguments."""
    return lambda *arguments: CliRunner().invoke(command, [*map(str, arguments)], env={"SAMESKY_API_URL": api_url})


def rows_of(client: Client, study: Study, name: str) -> int:
    """How many rows a table has, as told by its JSON."""
    match name:
        case "scores":
            return len(client.scores(study.id))
        case "matrix":
            cells = client.matrix(study.id)["values"]
            return sum(cell is not None for row in cells for cell in row) // 2
        case "layers":
            return sum(cell is not None for one in client.layers(study.id) for row in one["values"] for cell in row)
    return len(client.curves(study.id) if name == "curves" else client.probes(study.id))


@pytest.mark.parametrize("name", TABLES)
def test_every_table_comes_in_every_format(web: FlaskClient, client: Client, kept: Study, name: str) -> None:
    expected = rows_of(client, kept, name)
    assert expected
    address = f"/v1/studies/{kept.id}/{name}"
    for form, media in MEDIA.items():
        asked, preferred = web.get(f"{address}?format={form}"), web.get(address, headers={"Accept": media})
        assert asked.status_code == preferred.status_code == 200
        assert asked.mimetype == preferred.mimetype == media
        assert asked.data == preferred.data
        assert f'filename="{name}.' in asked.headers["Content-Disposition"]
        assert "Accept" in preferred.headers["Vary"]
    text = web.get(f"{address}?format=csv").text
    assert len(list(csv.DictReader(io.StringIO(text, newline="")))) == expected
    table = pq.read_table(io.BytesIO(client.table(kept.id, name, "parquet")))
    assert table.num_rows == expected
    ecsv = AstropyTable.read(client.table(kept.id, name, "ecsv").decode(), format="ascii.ecsv")
    assert (len(ecsv), ecsv.colnames) == (expected, table.column_names)
    assert ecsv.meta["study"] == kept.id
    assert ecsv.meta["simulated"] is True
    latex = client.table(kept.id, name, "latex").decode()
    assert r"Two eyes \& one label" in latex
    assert "simulated objects included" in latex
    assert latex.count(r"\\") == 1 + expected


def test_no_other_format_is_given(web: FlaskClient, kept: Study) -> None:
    for name in TABLES:
        refused = web.get(f"/v1/studies/{kept.id}/{name}", headers={"Accept": "application/xml"})
        assert (refused.status_code, "text/x-ecsv" in refused.json["detail"]) == (406, True)
        assert web.get(f"/v1/studies/{kept.id}/{name}?format=xlsx").status_code == 422
        assert web.get(f"/v1/studies/{'0' * 32}/{name}").status_code == 404


def test_q_values_are_those_of_benjamini_and_hochberg_whatever_the_page(
    web: FlaskClient, client: Client, kept: Study
) -> None:
    rows = client.scores(kept.id)
    families: dict[tuple[str, int | None, str], list[dict[str, float]]] = {}
    for row in rows:
        families.setdefault((row["metric"], row["k"], row["kind"]), []).append(row)
    assert len(families) == 2 * 2 + 5
    for family in families.values():
        expected = false_discovery_control([row["p_value"] for row in family])
        assert np.allclose([row["q_value"] for row in family], expected)
    address, met = f"/v1/studies/{kept.id}/scores?limit=3", list[dict[str, object]]()
    while address:
        page = web.get(address).json
        met, address = met + page["items"], page["next"]
    assert met == rows
    assert "q_value" not in client.scores()[0], "of all scores there are, no family of tests is known"


def test_no_p_value_is_no_q_value() -> None:
    assert q_values([]) == {}


def test_a_pair_alone_keeps_its_p_value(study: Study) -> None:
    spec = study.scores()[0]
    assert q_values([(spec, [PValue("mknn", 10, 0.03)])]) == {Named(spec.digest, "mknn", 10): 0.03}


def test_the_matrix_is_of_the_metric_k_and_statistic_asked_for(client: Client, kept: Study) -> None:
    matrix = client.matrix(kept.id)
    assert (matrix["metric"], matrix["k"], matrix["statistic"]) == ("mknn", 10, "value")
    assert [one["layer"] for one in matrix["embeddings"]] == ["block-02", "final", "final"] * 2
    values = np.array(matrix["values"], dtype=float)
    assert np.array_equal(values, values.T, equal_nan=True)
    at_five = np.array(client.matrix(kept.id, k="5")["values"], dtype=float)
    assert np.allclose((values - at_five)[np.isfinite(values)], 0.005)
    p_values = np.array(client.matrix(kept.id, statistic="p_value")["values"], dtype=float)
    assert np.nanmin(p_values) == 1 / 1001
    assert matrix["meta"]["metric"] == "mknn"


@pytest.mark.parametrize("name", ["matrix", "layers", "curves", "figures/matrix.svg"])
@pytest.mark.parametrize(
    ("query", "parameter"),
    [("metric=cka", "metric"), ("k=7", "k"), ("k=0", "k"), ("metric=mknn&k=11", "k"), ("metrik=mknn", "metrik")],
)
def test_what_a_study_does_not_ask_for_is_refused(
    web: FlaskClient, kept: Study, name: str, query: str, parameter: str
) -> None:
    refused = web.get(f"/v1/studies/{kept.id}/{name}?{query}")
    assert refused.status_code == 422
    assert [error["parameter"] for error in refused.json["errors"]] == [parameter]


def test_curves_and_probes_have_what_their_rows_promise(client: Client, kept: Study) -> None:
    curves = client.curves(kept.id, metric="mknn", k="5")
    assert [(row["kind"], row["model"], row["smaller_model"]) for row in curves] == [
        ("crossmodal", "vit-base", None),
        ("crossmodal", "vit-large", None),
        ("intramodal", "vit-large", "vit-base"),
        ("intramodal", "vit-large", "vit-base"),
    ]
    assert all(row["q_value"] is not None for row in curves)
    assert len(client.curves(kept.id)) == 2 * len(curves)
    probes = client.probes(kept.id)
    assert [(row["metric"], row["k"], row["rmse"]) for row in probes] == [
        ("knn-probe", 5, 0.7),
        ("knn-probe", 10, 0.7),
        ("label-agreement", 5, None),
        ("label-agreement", 10, None),
        ("ridge-probe", None, 0.7),
    ]
    assert {(row["label"], row["label_unit"], row["model"], row["objects"]) for row in probes} == {
        ("redshift", "km / s", "vit-base", 38)
    }
    (layers,) = client.layers(kept.id)
    assert (layers["left_layers"], layers["right_layers"]) == (["block-02", "final"], ["block-02", "final"])


def test_tables_of_a_study_without_scores_are_empty(web: FlaskClient, store: MemoryStore, study: Study) -> None:
    store.put(keys.study(study.id), study.to_json())
    for name in ("curves", "layers", "probes"):
        page = web.get(f"/v1/studies/{study.id}/{name}").json
        assert (page["items"], page["next"], page["meta"]["study"]) == ([], None, study.id)
        assert web.get(f"/v1/studies/{study.id}/{name}?format=ecsv").status_code == 200
    matrix = web.get(f"/v1/studies/{study.id}/matrix").json
    assert {cell for row in matrix["values"] for cell in row} == {None}
    assert len(matrix["embeddings"]) == 6


@pytest.mark.parametrize("name", ["scaling", "scaling-intramodal", "matrix", "layers", "calibration"])
def test_every_figure_is_drawn_of_the_k_asked_for(web: FlaskClient, client: Client, kept: Study, name: str) -> None:
    svg = client.figure(kept.id, name, "svg", k="5")
    assert b"k = 5, 38 objects" in svg
    refused = web.get(f"/v1/studies/{kept.id}/figures/{name}.png?statistic=p_value")
    assert refused.status_code == (200 if name in ("matrix", "layers") else 422)


def test_commands_show_tables_of_80_columns(run: Run, kept: Study) -> None:
    for name, words in (
        ("matrix", ("sky (simulated): mknn, k = 10", "vit-base/block-02", "hsc:", ".350")),
        ("curves", ("crossmodal hsc|jwst, mknn, k = 5", "vit-base|large", "95% interval")),
        ("probes", ("redshift told by ridge-probe", "± 0.020", "38")),
    ):
        done = run(name)
        assert done.exit_code == 0, done.output
        assert all(word in done.stdout for word in words), done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 80
    assert len(json.loads(run("probes", kept.id, "--format", "json").stdout)) == 5
    assert json.loads(run("matrix", "--k", "5", "--statistic", "calibrated", "--format", "json").stdout)["k"] == 5
    assert run("scores", kept.id, "--format", "latex").stdout.startswith("% needs")
    assert run("curves", "--metric", "mknn", "--format", "ecsv").stdout.startswith("# %ECSV 1.0")
    refused = run("matrix", "--metric", "nothing")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "the study does not ask for 'nothing'" in refused.stderr


def test_commands_write_to_a_file(run: Run, kept: Study, tmp_path: object) -> None:
    for name in ("matrix", "curves", "probes"):
        for form in ("table", "json", "csv", "parquet"):
            file = f"{tmp_path}/{name}.{form}"
            assert run(name, "--format", form, "--output", file).exit_code == 0


def test_a_matrix_of_many_embeddings_is_shown_in_blocks_that_fit() -> None:
    size = 30
    embedding = {"dataset": "sky", "simulated": False, "modality": "hsc", "layer": "final"}
    matrix = {
        "metric": "cka",
        "k": None,
        "statistic": "p_value",
        "embeddings": [{**embedding, "model": f"a-model-of-{place}"} for place in range(size)],
        "values": [[None if row == column else 1e-5 for column in range(size)] for row in range(size)],
    }
    page = io.StringIO()
    tables = list(matrix_tables(matrix, 80))
    Console(file=page, width=80).print(*tables)
    assert max(map(len, page.getvalue().splitlines())) <= 80
    assert page.getvalue().count("1e-5") == size * (size - 1) // 2, "each pair once"
    assert "…" not in page.getvalue()


def test_scores_show_layers_labels_and_what_is_below_zero(client: Client, kept: Study) -> None:
    rows = client.scores(kept.id)
    below = {**rows[0], "metric": "rsa", "k": None, "low": -0.25, "high": -0.125}
    page = io.StringIO()
    Console(file=page, width=80).print(score_table([*rows, below], 80))
    text = page.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "block-02|final" in text
    assert re.search(r"\bvit-base/ .*\n +block-02 ", text), "one layer of both sides, broken after the model"
    assert "label" not in text.replace("label-agreement", ""), "a label is of no model"
    assert "hsc|redshift  vit-base " in text
    assert "-0.250 to -0.125" in text


def test_scores_show_q_where_there_is_room(client: Client, kept: Study) -> None:
    rows = client.scores(kept.id)
    for width, shown in ((80, False), (120, True)):
        page = io.StringIO()
        Console(file=page, width=width).print(score_table(rows, width))
        assert (" q " in page.getvalue()) is shown


@pytest.mark.parametrize("kind", ["no scores", "probes", "layers", "one model"])
def test_every_address_answers_for_every_kind_of_study(web: FlaskClient, store: MemoryStore, kind: str) -> None:
    """With what there is, or with an error that says what there is not; and no label passes for a model."""
    study = make_study(kind)
    store.put(keys.study(study.id), study.to_json())
    for place, spec in enumerate(study.scores() if kind != "no scores" else ()):
        store.put(keys.score(spec), make_record(spec, place).to_json())
    probed, compared = kind in ("probes", "layers"), kind in ("layers", "one model")
    rows = {
        "curves": 2 * compared,
        "probes": 5 * probed * len(study.embeddings[:-1]),
        "layers": kind == "layers",
        "differences": 0,
        "links": 4 * (kind == "layers"),
    }
    for name, count in rows.items():
        page = web.get(f"/v1/studies/{study.id}/{name}?limit=1000")
        assert (page.status_code, len(page.json["items"])) == (200, count), (name, page.text)
        assert name == "links" or '"label"' not in json.dumps([list(row.values()) for row in page.json["items"]])
    matrix = web.get(f"/v1/studies/{study.id}/matrix").json
    assert {one["model"] for one in matrix["embeddings"]} <= {name for name, *_ in MODELS}
    for name in ("scores", "matrix", *rows):
        for form in MEDIA:
            assert web.get(f"/v1/studies/{study.id}/{name}?format={form}").status_code == 200
    trend = web.get(f"/v1/studies/{study.id}/trend")
    assert (trend.status_code, trend.json["code"]) == ((422, "too-few-sizes") if compared else (404, "object-missing"))
    drawn = {"scaling": compared, "scaling-intramodal": False, "matrix": compared, "layers": kind == "layers",
             "calibration": compared}  # fmt: skip
    for name, there in drawn.items():
        for form in ("svg", "png", "pdf"):
            figure = web.get(f"/v1/studies/{study.id}/figures/{name}.{form}")
            assert figure.status_code == (200 if there else 404), (name, figure.text)
            assert there or figure.json["code"] == "object-missing"
    assert web.get(f"/v1/studies/{study.id}/archive").status_code == 200


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("vit-base", ["vit-base"]),
        ("hsc|legacysurvey", ["hsc", "|legacysurvey"]),
        ("efficientnet-lite0|lite1", ["efficientnet-", "lite0|lite1"]),
        ("vit-base/block-02|final", ["vit-base/", "block-02|final"]),
        ("anamewithoutanybreak", ["anamewithoutanybreak"]),
    ],
)
def test_a_long_name_is_broken_where_it_may_be(name: str, lines: list[str]) -> None:
    assert fold_name(name).split("\n") == lines


def test_names_that_fit_are_not_broken_and_others_not_within_a_word() -> None:
    def show(**names: str) -> str:
        row = {"dataset": "sky", "simulated": False, "kind": "crossmodal", "metric": "mknn", "k": 10, "value": 0.1}
        row |= {"chance": 0.01, "calibrated": 0.1, "p_value": 0.001, "q_value": 0.002, "low": 0.1, "high": 0.2}
        row |= {"confidence": 0.95, "objects": 658, "left_parameters": 1.0, "right_parameters": 1.0}
        row |= {"left_family": "f", "left_layer": "final", "right_layer": "final", "left_modality": "first"}
        row |= {"left_dtype": "float32", "right_dtype": "float32", "left_recipe": "r-v1", "right_recipe": "label-v1"}
        row |= {"left_model": "efficientnet-lite0", "right_model": "efficientnet-lite0", **names}
        page = io.StringIO()
        Console(file=page, width=80).print(score_table([row], 80))
        return page.getvalue()

    assert "first|nvss  efficientnet-lite0 " in show(right_modality="nvss")
    broken = show(right_modality="legacysurvey")
    assert re.search(r"^first +efficientnet- .*\n\|legacysurvey +lite0 *$", broken, re.MULTILINE), broken
