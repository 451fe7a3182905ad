"""Plans over HTTP and on the command line: what they hold, that they begin nothing, what they refuse."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from flask.testing import FlaskClient
from rich.console import Console
from typer.testing import CliRunner, Result

from services.cli import app
from services.cli.output import show
from services.cli.plan_tables import format_bytes, format_seconds, plan_lines
from services.cli.planning import TRIAL_OBJECTS, trial_of
from services.client import Client, read_request
from services.studies import Studies
from shared.contracts import Study
from shared.plans import PairsPlan, PassPlan, StudyPlan
from shared.store import MemoryStore

Body = dict[str, Any]
Run = Callable[..., Result]
PLAN = {
    "study", "title", "simulated", "embedders", "scorers", "threads", "jobs", "jobs_done", "rows", "pairs",
    "pairs_done", "passes", "scores", "embedding_seconds", "scoring_seconds", "seconds_least", "seconds_most",
    "core_hours", "bytes_read", "bytes_written", "rate", "rate_from", "scores_measured",
}  # fmt: skip
PASS = {
    "dataset", "modality", "model", "dtype", "jobs", "jobs_done", "rows", "parts", "dimension", "seconds",
    "core_seconds", "bytes_read", "bytes_written", "basis",
}  # fmt: skip
PAIRS = {
    "dataset", "what", "pairs", "pairs_done", "objects", "searches", "seconds", "core_seconds", "longest",
    "search_seconds", "metrics", "bytes_read", "bytes_written", "basis",
}  # fmt: skip


@pytest.fixture
def run(api_url: str) -> Run:
    """Runs `samesky` with these arguments."""
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)], env={"SAMESKY_API_URL": api_url})


@pytest.fixture
def file(body: Callable[..., Body], tmp_path: Path) -> Path:
    """A study file."""
    made = tmp_path / "twins.yaml"
    made.write_text(yaml.safe_dump(body(models=("fake-small", "fake-large"))))
    return made


def test_a_plan_begins_nothing_and_names_the_study_that_will_be(
    web: FlaskClient, body: Callable[..., Body], store: MemoryStore
) -> None:
    before = set(store.keys(""))
    answer = web.post("/v1/plan", json=body(models=("fake-small", "fake-large")))
    assert answer.status_code == 200
    plan = answer.json
    assert set(store.keys("")) == before
    assert web.get("/v1/studies").json["items"] == []
    assert web.post("/v1/studies", json=body(models=("fake-small", "fake-large"))).json["id"] == plan["study"]
    assert (plan["jobs"], plan["jobs_done"], plan["pairs"], plan["pairs_done"], plan["rows"]) == (4, 0, 4, 0, 96)
    assert plan["bytes_read"] > 0
    assert {one["basis"] for one in plan["passes"]} == {"estimated"}


def test_the_fields_of_a_plan_are_promised(web: FlaskClient, body: Callable[..., Body]) -> None:
    plan = web.post("/v1/plan", json=body()).json
    assert set(plan) == PLAN
    assert [set(one) for one in plan["passes"]] == [PASS] * 2
    assert [set(one) for one in plan["scores"]] == [PAIRS]
    assert [set(one) for one in plan["scores"][0]["metrics"]] == [{"metric", "seconds"}]
    models = (StudyPlan, PLAN), (PassPlan, PASS), (PairsPlan, PAIRS)
    assert all(set(model.model_fields) == names for model, names in models)


def test_what_is_done_is_not_planned_and_tells_how_fast_the_rest_will_be(
    web: FlaskClient, body: Callable[..., Body], accept: Callable[..., Study], finish: Callable[[Study], None]
) -> None:
    finish(accept())
    done = web.post("/v1/plan", json=body()).json
    assert (done["jobs_done"], done["pairs_done"], done["rows"], done["core_hours"]) == (2, 1, 0, 0)
    more = web.post("/v1/plan", json=body(models=("fake-small", "fake-large"))).json
    assert (more["jobs_done"], more["pairs_done"], more["rows"]) == (2, 1, 48)
    fewer = web.post("/v1/plan", json=body(limit=20)).json
    assert [(one["basis"], one["dimension"]) for one in fewer["passes"]] == [("measured", 4)] * 2
    # one second for 24 objects was measured, so 20 take this, beside what a step and the model's loading take
    assert fewer["passes"][0]["seconds"] == pytest.approx(20 / 24 + 0.05 + 0.3, abs=0.01)


def test_workers_are_those_asked_for(web: FlaskClient, body: Callable[..., Body]) -> None:
    plan = web.post("/v1/plan?embedders=7&scorers=3", json=body()).json
    assert (plan["embedders"], plan["scorers"]) == (7, 3)
    default = web.post("/v1/plan", json=body()).json
    assert default["embedders"] >= 1
    assert default["scorers"] == 1


@pytest.mark.parametrize("query", ["embedders=0", "scorers=-1", "embedders=many", "embedders=1&embedders=2", "crew=3"])
def test_workers_that_cannot_be_are_refused(web: FlaskClient, body: Callable[..., Body], query: str) -> None:
    answer = web.post(f"/v1/plan?{query}", json=body())
    assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
    assert answer.json["errors"][0]["parameter"] == query.partition("=")[0]


REFUSED = [
    {"models": ["fake-smal"]},
    {"models": []},
    {"pairs": ["crosmodal"]},
    {"pairs": ["intramodal"]},
    {"pairs": ["probes"]},
    {"datasets": ["mocksy"]},
    {"scoring": {"k": 24}},
    {"scoring": {"metrics": ["mkn"]}},
    {"scoring": {"metrics": ["ridge-probe"]}},
    {"layers": ["block-77"]},
    {"dtype": "bfloat16"},
    {"title": 3},
]


@pytest.mark.parametrize("wrong", REFUSED, ids=json.dumps)
def test_a_plan_refuses_what_a_study_refuses_by_the_same_name(
    web: FlaskClient, body: Callable[..., Body], wrong: Body
) -> None:
    refused, planned = (web.post(f"/v1/{door}", json={**body(), **wrong}) for door in ("studies", "plan"))
    assert refused.status_code in (404, 422)
    assert planned.status_code == refused.status_code
    assert planned.json == refused.json


def test_the_client_plans_a_file_as_it_submits_one(api_url: str, file: Path) -> None:
    with Client(api_url) as client:
        plan = client.plan(file, embedders=2)
        assert plan.embedders == 2
        assert client.submit(file).id == plan.study


def test_the_command_writes_the_plan_as_json(run: Run, file: Path) -> None:
    done = run("plan", file, "--embedders", 3, "--json")
    assert done.exit_code == 0, done.output
    plan = StudyPlan.model_validate_json(done.stdout)
    assert (plan.embedders, plan.jobs) == (3, 4)


def test_the_command_tells_what_it_comes_to_and_what_it_rests_on(run: Run, file: Path) -> None:
    done = run("plan", file)
    assert done.exit_code == 0, done.output
    words = " ".join(done.stdout.split())
    for said in (
        "4 embeddings, of which 0 are done",
        "4 scores, of which 0 are done",
        "core-hours",
        "estimated",
        "--measure",
        "in all: 96 rows",
    ):
        assert said in words, done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_plan_is_readable_at_80_columns(web: FlaskClient, body: Callable[..., Body]) -> None:
    plan = StudyPlan.model_validate(web.post("/v1/plan", json=body()).json)
    long = plan.passes[0].model_copy(
        update={
            "dataset": "a-dataset-of-a-very-long-name", "modality": "a-long-modality", "model": "llava-onevision-7b",
            "rows": 10**9, "parts": 31_250_000, "seconds": 3.2e9, "bytes_read": 10**15, "bytes_written": 10**13,
            "jobs": 41, "dtype": "bfloat16",
        }
    )  # fmt: skip
    wide = plan.model_copy(
        update={"passes": [long] * 50, "embedders": 99_999, "rows": 10**11, "core_hours": 1.2e8, "simulated": True}
    )
    with Console(width=80) as console, console.capture() as captured:
        show(console, *plan_lines(wide))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= 80, [line for line in lines if len(line) > 80]
    assert "and 10 more, which take less: see --json" in lines
    assert "1,000,000,000" in captured.get(), "no number is cut"


def test_measuring_first_runs_a_trial_and_plans_by_it(
    run: Run, file: Path, known: Studies, finish: Callable[[Study], None]
) -> None:
    def work() -> None:
        while not known.list():
            time.sleep(0.05)
        finish(known.list()[0])

    worker = Thread(target=work)
    worker.start()
    done = run("plan", file, "--measure", "--json")
    worker.join()
    assert done.exit_code == 0, done.output
    assert "trying each model on 64 objects" in done.stderr
    (trial,) = known.list()
    assert trial.title == "Trial of 64 objects: Twins"
    plan = StudyPlan.model_validate_json(done.stdout)
    assert plan.study != trial.id
    # the table has 24 objects, so the trial has made all embeddings that are wanted
    assert (plan.jobs_done, plan.pairs_done) == (4, 0)
    again = run("plan", file, "--measure")
    assert "trying" not in again.stderr, "what is known is not tried"


def test_a_trial_is_the_study_on_few_objects_scored_as_little_as_can_be(file: Path) -> None:
    asked = read_request(file).model_copy(update={"pairs": ("crossmodal", "probes"), "layers": ("all",)})
    trial = trial_of(asked)
    assert [dataset.limit for dataset in trial.datasets] == [TRIAL_OBJECTS]
    assert (trial.models, trial.layers, trial.pairs) == (asked.models, ("final",), ("crossmodal",))
    assert trial.scoring.metrics == ("mknn",)
    few = asked.model_copy(
        update={"datasets": (asked.datasets[0].model_copy(update={"limit": 20}),), "pairs": ("probes",)}
    )
    assert trial_of(few).datasets[0].limit == 20
    assert trial_of(few).pairs == ("probes",), "a study of probes alone is tried by probes"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.84, "0.8 s"),
        (119, "119 s"),
        (150, "2.5 min"),
        (7199, "120 min"),
        (7200, "2.0 h"),
        (1e6, "12 d"),
    ],
)
def test_times_are_told_in_their_largest_unit(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0.0 kB"), (2500, "2.5 kB"), (999_999, "1,000 kB"), (2.6e6, "2.6 MB"), (5e15, "5.0 PB")]
)
def test_sizes_are_told_in_their_largest_unit(size: float, text: str) -> None:
    assert format_bytes(size) == text
