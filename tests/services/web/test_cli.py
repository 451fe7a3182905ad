"""The command line against the real api over HTTP: what it prints, where, and how it exits."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from redis import Redis
from rich.console import Console
from typer.testing import CliRunner, Result

from services.cli import app
from services.cli.tables import dataset_table, model_table, score_table, study_table
from services.cli.watching import watch
from services.client import Client
from services.presence import Presence
from shared.contracts import Study
from shared.progress import StudyProgress
from shared.states import State

Body = dict[str, Any]
Run = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def run(api_url: str) -> Run:
    """Runs `samesky` with these arguments."""
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)], env={"SAMESKY_API_URL": api_url})


def test_submit_a_file_then_follow_it(
    run: Run, body: Callable[..., Body], tmp_path: Path, accept: Callable[..., Study], finish: Callable[[Study], None]
) -> None:
    file = tmp_path / "twins.yaml"
    file.write_text(yaml.safe_dump(body(), sort_keys=False))
    study = accept()
    submitted = run("submit", file)
    assert submitted.exit_code == 0, submitted.output
    assert f"study {study.id} is queued: 0 of 2 embeddings, 0 of 1 scores" in submitted.stdout
    assert f"samesky status {study.id} --watch" in submitted.stdout
    finish(study)
    followed = run("status", "--watch")
    assert followed.exit_code == 0
    assert f"study {study.id} is done: 2 of 2 embeddings, 1 of 1 scores" in followed.stdout
    again = run("submit", file, "--watch")
    assert (again.exit_code, "is done" in again.stdout) == (0, True)


def test_submit_by_options(run: Run, api_url: str) -> None:
    models = ("--model", "fake-small", "--model", "fake-large")
    options = ("--limit", "40", "--k", "5", "--pairs", "crossmodal", "--pairs", "intramodal", "--title", "By hand")
    done = run("submit", "--dataset", "mocksky", *models, *options)
    assert done.exit_code == 0, done.output
    assert "of simulated objects" in done.stdout
    with Client(api_url) as client:
        (study,) = client.studies()
        assert study.title == "By hand"
        assert {job.rows for job in client.jobs(study.id)} == {40}
        assert {pair.kind for pair in client.pairs(study.id)} == {"crossmodal", "intramodal"}


def test_a_failure_is_told_with_its_reason_and_exit_status_1(
    run: Run, accept: Callable[..., Study], fail: Callable[[Study], None]
) -> None:
    study = accept()
    fail(study)
    done = run("status", study.id)
    assert done.exit_code == 1
    assert "failed" in done.stdout
    assert done.stderr == (
        f"samesky: {study.embeddings[0].label}: no band 'near' in row 3; name a band that is there\n"
    )


def test_scores_in_every_format(
    run: Run, accept: Callable[..., Study], finish: Callable[[Study], None], tmp_path: Path
) -> None:
    study = accept(models=("fake-small", "fake-large"))
    finish(study)
    rows = json.loads(run("scores", study.id, "--format", "json").stdout)
    assert len(rows) == 4
    read = list(csv.DictReader(io.StringIO(run("scores", "--format", "csv").stdout)))
    assert [row["score"] for row in read] == [row["score"] for row in rows]
    target = tmp_path / "scores.parquet"
    assert run("scores", study.id, "--format", "parquet", "--output", target).exit_code == 0
    assert pq.read_table(target).to_pylist() == rows
    assert pq.read_table(io.BytesIO(run("scores", "--format", "parquet").stdout_bytes)).num_rows == 4
    table = run("scores", study.id).stdout
    for word in ("twin: mknn, k = 10, 95% interval", "value", "chance", "p", "interval", "n", "0.4348", "0.001"):
        assert word in table
    assert max(map(len, table.splitlines())) <= 80
    assert "\x1b[" not in table
    assert run("scores", "--output", tmp_path / "scores.txt").exit_code == 0
    assert "0.4348" in (tmp_path / "scores.txt").read_text()


def test_a_wide_table_of_simulated_scores_keeps_its_numbers_at_80_columns() -> None:
    row = {
        "dataset": "mocksky",
        "simulated": True,
        "kind": "other",
        "left_modality": "hsc",
        "right_modality": "legacysurvey",
        "left_model": "efficientnet-lite0",
        "right_model": "efficientnet-lite1",
        "left_family": "efficientnet-lite",
        "left_parameters": 4.7,
        "right_parameters": 5.4,
        "left_layer": "final",
        "right_layer": "final",
        "left_recipe": "arcsinh-match-v1",
        "right_recipe": "arcsinh-match-v1",
        "left_dtype": "float32",
        "right_dtype": "float32",
        "metric": "mknn",
        "value": 0.12345678,
        "chance": 10 / 511,
        "calibrated": 0.0987,
        "p_value": 1 / 1001,
        "low": 0.1,
        "high": 0.15,
        "confidence": 0.95,
        "objects": 512,
        "k": 10,
    }
    page = io.StringIO()
    Console(file=page, width=80).print(score_table([row, {**row, "metric": "cka", "dataset": "jwst_hsc"}]))
    text = page.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    for word in ("simulated", "0.1235", "0.0196", "0.0987", "0.001", "0.100-0.150", "512"):
        assert word in text
    assert "…" not in text
    page = io.StringIO()
    Console(file=page, width=80).print(score_table([row, {**row, "left_dtype": "bfloat16"}]))
    assert "mocksky (simulated): mknn" in page.getvalue()
    assert "mocksky (simulated) in bfloat16: mknn" in page.getvalue()


@pytest.mark.parametrize("command", ["models", "datasets", "studies"])
def test_lists_as_table_and_as_json(run: Run, accept: Callable[..., Study], command: str) -> None:
    accept()
    rows = json.loads(run(command, "--format", "json").stdout)
    table = run(command)
    assert table.exit_code == 0
    assert all(row.get("name", row.get("id")) in table.stdout for row in rows)
    assert all(row["family"] for row in rows if command == "models")
    assert max(map(len, table.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (
            ["submit", "--dataset", "mocksky", "--model", "efficientnet-lit0"],
            2,
            "there is no model 'efficientnet-lit0'",
        ),
        (["submit"], 2, "give a study file, or --dataset and --model"),
        (["submit", "none.yaml"], 2, "none.yaml cannot be read"),
        (["submit", "--dataset", "mocksky"], 2, "models: this field is needed"),
        (["submit", "--limit", "x"], 2, "should be a valid integer"),
        (["status", "0" * 32], 2, "there is no study"),
        (["status"], 1, "there is no study yet"),
        (["scores", "--format", "xml"], 2, "xml"),
        (["scores", "--format", "csv", "--output", "/nowhere/scores.csv"], 2, "cannot be written"),
        (["nothing"], 2, "No such command"),
        (["--url", "http://127.0.0.1:1", "models"], 3, "samesky up"),
        (["--url", "http://127.0.0.1:1", "status", "--watch"], 3, "samesky up"),
    ],
)
def test_a_fault_is_one_line_and_an_exit_status(run: Run, arguments: list[str], status: int, words: str) -> None:
    done = run(*arguments)
    assert done.exit_code == status, done.output
    assert done.stderr.startswith("samesky: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert done.stdout == ""


def test_bars_on_a_terminal_show_rows_rate_and_state(
    api_url: str, accept: Callable[..., Study], finish: Callable[[Study], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = accept()
    status = Client.status

    def finish_after_a_look(client: Client, study_id: str) -> Any:
        progress = status(client, study_id)
        finish(study)
        return progress

    monkeypatch.setattr(Client, "status", finish_after_a_look)
    page = io.StringIO()
    console = Console(file=page, width=80, force_terminal=True, color_system=None)
    with Client(api_url) as client:
        assert watch(client, study.id, console).state is State.DONE
    for spec in study.embeddings:
        assert f"{spec.modality.name}/{spec.model.name}" in page.getvalue()
    assert "24/24" in page.getvalue()
    assert "scores" in page.getvalue()


def samesky(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_as_a_process(api_url: str, accept: Callable[..., Study]) -> None:
    study = accept()
    done = samesky("status", SAMESKY_API_URL=api_url)
    waits = "samesky: its work waits: no process is alive of embedder, scorer, reconciler; "
    assert (done.returncode, done.stderr) == (0, f"{waits}start what is missing, or see its log\n")
    assert study.id in done.stdout
    refused = samesky("api", SAMESKY_API_PORT="many")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("samesky: SAMESKY_API_PORT='many'")
    assert refused.stderr.count("\n") == 1
    assert "Commands:" in samesky().stdout


def test_status_says_who_is_missing_while_work_waits(
    run: Run, redis: Redis, accept: Callable[..., Study], finish: Callable[[Study], None]
) -> None:
    study = accept()
    for service in ("embedder", "reconciler"):
        Presence(redis).say_alive(service, "a:1")
    assert "no process is alive of scorer;" in run("status").stderr
    Presence(redis).say_alive("scorer", "a:1")
    assert run("status").stderr == ""
    redis.flushall()
    finish(study)
    assert run("status").stderr == "", "nothing waits"


def test_asking_loads_neither_models_nor_queue_nor_server() -> None:
    heavy = {"torch", "transformers", "celery", "faiss", "flask", "boto3", "redis", "numpy"}
    code = f"import sys, services.cli, samesky; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_brackets_in_a_title_are_only_brackets() -> None:
    progress = StudyProgress(
        id="0" * 32,
        title="a [/red] title",
        created_at="2026-01-01T00:00:00+00:00",
        state=State.DONE,
        simulated=False,
        jobs={},
        pairs={},
        rows=1,
        rows_done=1,
    )
    shown = io.StringIO()
    Console(file=shown, width=100).print(study_table([progress]))
    assert "a [/red] title" in shown.getvalue()


def test_brackets_in_what_the_api_tells_are_only_brackets() -> None:
    words = "[/red] [bold]x"
    model = {"name": words, "family": words, "parameters": 1.0, "takes": "image", "checkpoint": words}
    dataset = {"name": words, "title": words, "simulated": False, "modalities": [{"name": words}]}
    shown = io.StringIO()
    Console(file=shown, width=200).print(model_table([model]), dataset_table([dataset]))
    assert shown.getvalue().count(words) == 6
