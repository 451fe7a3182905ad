"""The trend of a study over HTTP, from the client, and on the command line; and that of a CSV file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from typer.testing import CliRunner, Result

from samesky import Client
from services.cli import app as command
from services.field_errors import validate
from services.studies import Studies
from services.trend_table import read_trend_table
from shared import keys
from shared.contracts import Study
from shared.errors import ObjectMissing, TooFewSizes, UnknownName
from shared.outcomes import ScoreRecord
from shared.records import read_record
from shared.requests import StudyRequest
from shared.store import MemoryStore
from shared.trends import Trend

NOWHERE = "http://127.0.0.1:9"
Accept = Callable[..., Study]
Finish = Callable[[Study], None]
FIGURE = Path("/work/shared/paper/figure1_mknn.csv")
SIZES = ("fake-small", "fake-large", "fake-slow")
TABLE = """# made up, as the paper writes it
modality,family,size,params_millions,mknn_percent
jwst,vit,large,304,7.0
jwst,vit,base,86,6.5
# a comment amid
jwst,vit,huge,632,7.0
jwst,dino,small,22,1.5
jwst,dino,base,86,1.25
desi,vit,base,86,0.25
desi,vit,large,304,0.5
desi,aion,base,300,3
"""


def run(*arguments: object, url: str = NOWHERE) -> Result:
    """Runs `samesky trend` with these arguments, at 80 columns."""
    environment = {"SAMESKY_API_URL": url, "COLUMNS": "80"}
    return CliRunner().invoke(command, ["trend", *map(str, arguments)], env=environment)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A file of three ladders, of which one has a tie, and a family of one size."""
    file = tmp_path / "scores.csv"
    file.write_text(TABLE, encoding="utf-8-sig")
    return file


@pytest.fixture
def scored(accept: Accept, finish: Finish, store: MemoryStore) -> Study:
    """A finished study of three sizes, whose values over two modalities are 0.2, 0.5 and 0.4."""
    study = accept(models=SIZES)
    finish(study)
    values = dict(zip(SIZES, (0.2, 0.5, 0.4), strict=True))
    for spec in study.scores():
        record = read_record(store, keys.score(spec), ScoreRecord)
        assert record is not None
        if spec.pair.kind == "crossmodal":
            value = values[spec.pair.left.model.name]
            results = tuple(record.results[0].model_copy(update={"k": k, "value": value / k}) for k in (10, 5))
            store.put(keys.score(spec), record.model_copy(update={"results": results}).to_json())
    return study


def test_a_trend_is_the_same_over_http_from_the_client_on_the_command_line_and_from_csv(
    web: FlaskClient, api_url: str, scored: Study, tmp_path: Path
) -> None:
    answer = web.get(f"/v1/studies/{scored.id}/trend")
    assert answer.status_code == 200
    trend = Trend.model_validate_json(answer.data)
    (ladder,) = trend.ladders
    assert (ladder.group, ladder.family, ladder.sizes) == ("twin: far | near", "fake", SIZES)
    assert (trend.metric, trend.k, ladder.values) == ("mknn", 10, (0.02, 0.05, 0.04))
    assert (ladder.steps, ladder.increases, ladder.ties) == (2, 1, 0)
    with Client(api_url) as client:
        assert client.trend(scored.id) == trend
        five = client.trend(scored.id, k=5)
        assert (five.k, five.ladders[0].values) == (5, (0.04, 0.1, 0.08))
        (tmp_path / "scores.csv").write_bytes(client.score_table("csv", scored.id))
    assert json.loads(run(scored.id, "--json", url=api_url).stdout) == answer.json
    assert json.loads(run("--json", url=api_url).stdout) == answer.json
    from_csv = run("--csv", tmp_path / "scores.csv", "--k", 10, "--json")
    assert json.loads(from_csv.stdout) == answer.json


def test_a_study_without_a_trend_says_why(
    web: FlaskClient, api_url: str, accept: Accept, finish: Finish, scored: Study
) -> None:
    waiting, alone = accept(models=("fake-small", "fake-large"), limit=12), accept(models=("fake-small",), limit=13)
    finish(alone)
    with Client(api_url) as client:
        with pytest.raises(ObjectMissing, match="there is no crossmodal or crosskind score of final layers with mknn"):
            client.trend(waiting.id)
        with pytest.raises(ObjectMissing, match=r"at this k; expected k = 5 or 10"):
            client.trend(scored.id, k=7)
        with pytest.raises(TooFewSizes, match=r"twin: far \| near, fake: one size only"):
            client.trend(alone.id)
        with pytest.raises(UnknownName, match=r"there is no metric 'mkn'.*did you mean mknn"):
            client.trend(scored.id, metric="mkn")
        with pytest.raises(UnknownName, match="there is no study"):
            client.trend("0" * 32)
    assert web.get(f"/v1/studies/{waiting.id}/trend").status_code == 404
    assert web.get(f"/v1/studies/{alone.id}/trend").status_code == 422
    assert web.get(f"/v1/studies/{scored.id}/trend?k=ten").status_code == 422


def test_datasets_of_one_name_are_ladders_of_their_own(
    web: FlaskClient,
    accept: Accept,
    finish: Finish,
    store: MemoryStore,
) -> None:
    """A study holds one dataset twice when it is cut in two ways: its scores are not mixed."""
    whole, cut = accept(models=SIZES[:2]), accept(models=SIZES[:2], limit=12)
    both = Study(
        created_at=whole.created_at,
        embeddings=(*whole.embeddings, *cut.embeddings),
        pairs=(*whole.pairs, *((a + len(whole.embeddings), b + len(whole.embeddings)) for a, b in cut.pairs)),
        scoring=whole.scoring,
        metric_versions=whole.metric_versions,
    )
    store.put(keys.study(both.id), both.to_json())
    finish(both)
    trend = Trend.model_validate_json(web.get(f"/v1/studies/{both.id}/trend").data)
    assert trend.left_out == ()
    names = [group.name for group in trend.groups]
    assert len(names) == 2
    assert [name.split()[1] for name in names] == ["12", "24"]


def test_a_trend_in_words_and_tables(table: Path) -> None:
    done = run("--csv", table)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "2 of 4 steps to a larger model raise MKNN (1 tie): one-sided sign test p = 0.69"
    assert max(map(len, lines)) <= 80
    assert "…" not in done.stdout
    for words in (
        "desi: 1 of 1 step up, p = 0.5",
        "jwst: 1 of 3 steps up (1 tie), p = 0.88",
        "two sizes: none",
        "Page's L, 1 ladder of 3 sizes",
        "every arrangement counted",
        "left out: aion in desi: one size only",
    ):
        assert words in done.stdout
    (vit,) = [line.split() for line in lines if line.startswith("vit") and " of 2 " in line and "to" in line]
    assert vit[1:7] == ["3", "1", "of", "2", "+0.87", "+0.82"]


def test_a_studys_trend_in_words(api_url: str, scored: Study) -> None:
    done = run(scored.id, "--k", 5, url=api_url)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(
        "1 of 2 steps to a larger model raise MKNN at k = 5 (no tie): one-sided sign test p = 0.75\n"
    )
    assert "twin: far | near: 1 of 2 steps up" in done.stdout


def test_long_ladders_say_what_was_drawn(tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    rows = [f"hsc,checkpoints,step{step},{step + 1},{step % 7}" for step in range(12)]
    file.write_text("\n".join([TABLE.splitlines()[1], *rows]))
    assert "9999 arrangements drawn, seed 0" in " ".join(run("--csv", file).stdout.split())


def test_brackets_in_a_table_are_only_brackets(tmp_path: Path) -> None:
    file = tmp_path / "brackets.csv"
    file.write_text(TABLE.replace("jwst", "[bold]").replace("vit", "[/red]"))
    shown = run("--csv", file)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.count("[bold]") == 1
    assert "[/red]" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--csv", "none.csv"], 2, "none.csv cannot be read"),
        (["0" * 32, "--csv", "none.csv"], 2, "one of the two"),
        (["--k", "0"], 2, "'--k'"),
        (["--k", "ten"], 2, "'--k'"),
        (["--csv", "none.csv", "--metric"], 2, "requires an argument"),
        (["0" * 32], 3, "samesky up"),
    ],
)
def test_a_fault_is_one_line_and_an_exit_status(arguments: list[str], status: int, words: str) -> None:
    check_fault(run(*arguments), status, words)


def test_a_study_that_is_not_there_is_a_fault(api_url: str) -> None:
    check_fault(run("0" * 32, url=api_url), 2, "there is no study")
    check_fault(run(url=api_url), 1, "there is no study yet")


def check_fault(done: Result, status: int, words: str) -> None:
    assert (done.exit_code, done.stdout) == (status, "")
    assert done.stderr.startswith("samesky: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr


def test_the_papers_table_says_what_the_paper_says() -> None:
    if not FIGURE.exists():
        pytest.skip(f"the paper's published scores are not here: {FIGURE}")
    said = run("--csv", FIGURE).stdout.splitlines()[0]
    assert said == "28 of 33 steps to a larger model raise MKNN (1 tie): one-sided sign test p = 3.3e-05"
    trend = Trend.model_validate_json(run("--csv", FIGURE, "--json").stdout)
    assert f"{trend.overall.signs.p_value:.2e}" == "3.31e-05"
    assert trend.ladders[0].values[0] == pytest.approx(0.0039), "per cent are shares"


def test_a_score_table_may_lack_what_is_not_needed(tmp_path: Path) -> None:
    """The columns of our own table that a trend cannot do without; cka counts no neighbours."""
    file = tmp_path / "scores.csv"
    file.write_text(
        "dataset,kind,left_modality,right_modality,left_family,left_parameters,right_parameters,metric,k,value\r\n"
        "sky,crossmodal,hsc,jwst,vit,86,86,cka,,0.5\r\n"
        "sky,crossmodal,hsc,jwst,vit,304,304,cka,,0.75\r\n"
        "sky,intramodal,hsc,hsc,vit,86,304,cka,,0.9\r\n"
        "sky,crossmodal,hsc,jwst,vit,86,86,mknn,10,0.1\r\n"
        "sky,probe,hsc,redshift,vit,86,0,ridge-probe,,0.4\r\n"
    )
    rungs, k = read_trend_table(file, "cka")
    assert k is None
    assert [(rung.group, rung.size, rung.value) for rung in rungs] == [
        ("sky: hsc | jwst", "86", 0.5),
        ("sky: hsc | jwst", "304", 0.75),
    ]


def test_layers_before_the_final_one_are_no_steps(
    web: FlaskClient,
    api_url: str,
    body: Callable[..., dict[str, object]],
    finish: Finish,
    known: Studies,
    tmp_path: Path,
) -> None:
    study, _ = known.accept(validate(StudyRequest, {**body(models=SIZES[:2]), "layers": ["block-00", "final"]}))
    assert len([score for score in study.scores() if score.pair.kind == "crossmodal"]) == 8, "each layer with each"
    finish(study)
    answer = web.get(f"/v1/studies/{study.id}/trend")
    (ladder,) = Trend.model_validate_json(answer.data).ladders
    assert ladder.sizes == SIZES[:2]
    with Client(api_url) as client:
        (tmp_path / "scores.csv").write_bytes(client.score_table("csv", study.id))
    assert json.loads(run("--csv", tmp_path / "scores.csv", "--json").stdout) == answer.json


def test_a_table_is_read_without_models_or_server() -> None:
    heavy = {"torch", "transformers", "celery", "faiss", "flask", "boto3", "redis", "matplotlib"}
    code = f"import sys, services.cli, services.trend_table, scorer.trends; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
