"""The command line: bad arguments are one line on standard error and an exit status, and nothing is sent or written.

No api listens where these commands ask: what reaches it would end with status 3, not 2.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli import app
from services.cli.output import deliver
from shared.errors import BadInput

NOWHERE = "http://127.0.0.1:9"
BAD_YAML = "datasets: [mocksky]\nmodls: [a]\n"


def snapshot(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


COMMANDS: list[tuple[str, list[str], str]] = [
    ("no such command", ["sumbit"], "No such command"),
    ("an option before any command", ["--colour", "models"], "No such option"),
    ("nothing to submit", ["submit"], "give a study file, or --dataset and --model"),
    ("a file and options", ["submit", "bad.yaml", "--dataset", "mocksky"], "one of the two"),
    ("a file and a limit", ["submit", "bad.yaml", "--limit", "7"], "--limit beside a study file"),
    ("a file that is not there", ["submit", "none.yaml"], "none.yaml cannot be read: No such file"),
    ("a folder for a file", ["submit", "."], "Is a directory"),
    ("a bad file", ["submit", "bad.yaml"], "bad.yaml:2: modls: there is no such field"),
    ("two files", ["submit", "bad.yaml", "bad.yaml"], "unexpected extra argument"),
    ("a dataset without a name", ["submit", "--dataset", "", "--model", "a"], "datasets.0.name"),
    ("a dataset that climbs", ["submit", "--dataset", "../x", "--model", "a"], "datasets.0.name"),
    ("a model that climbs", ["submit", "--dataset", "mocksky", "--model", "../x"], "models.0"),
    ("a model with an escape", ["submit", "--dataset", "mocksky", "--model", "\x1b[2J"], "models.0"),
    ("no model", ["submit", "--dataset", "mocksky"], "models: this field is needed"),
    ("no dataset", ["submit", "--model", "fake-small"], "datasets"),
    (
        "a limit in words",
        ["submit", "--dataset", "mocksky", "--model", "a", "--limit", "ten"],
        "'--limit': Input should be a valid integer",
    ),
    ("a limit of nought", ["submit", "--dataset", "mocksky", "--model", "a", "--limit", "0"], "datasets.0.limit"),
    ("a limit below nought", ["submit", "--dataset", "mocksky", "--model", "a", "--limit", "-3"], "datasets.0.limit"),
    ("a k of nought", ["submit", "--dataset", "mocksky", "--model", "a", "--k", "0"], "scoring.k"),
    ("a k of 30 digits", ["submit", "--dataset", "mocksky", "--model", "a", "--k", "9" * 30], "scoring.k"),
    (
        "a k and a half",
        ["submit", "--dataset", "mocksky", "--model", "a", "--k", "1.5"],
        "'--k': Input should be a valid integer",
    ),
    ("a policy nobody has", ["submit", "--dataset", "mocksky", "--model", "a", "--pairs", "al"], "did you mean all?"),
    ("a title too long", ["submit", "--dataset", "mocksky", "--model", "a", "--title", "x" * 201], "title"),
    ("a title with an escape", ["submit", "--dataset", "mocksky", "--model", "a", "--title", "\x1b[2J"], "title"),
    ("an option without a value", ["submit", "--dataset"], "requires an argument"),
    ("nothing to plan", ["plan"], "Missing argument 'STUDY.yaml'"),
    ("a plan of a file that is not there", ["plan", "none.yaml"], "none.yaml cannot be read: No such file"),
    ("a plan of a bad file", ["plan", "bad.yaml"], "bad.yaml:2: modls: there is no such field"),
    ("a plan for no embedders", ["plan", "bad.yaml", "--embedders", "0"], "'--embedders': Input"),
    ("a plan for scorers in words", ["plan", "bad.yaml", "--scorers", "many"], "'--scorers': Input"),
    ("a form of scores nobody has", ["scores", "--format", "xml"], "xml"),
    ("a form of a list nobody has", ["models", "--format", "csv"], "csv"),
    ("an archive that is not there", ["verify", "none.zip"], "none.zip cannot be read: No such file"),
    ("a folder for an archive", ["verify", "."], "cannot be read: Is a directory"),
    ("two archives", ["verify", "a.zip", "b.zip"], "unexpected extra argument"),
    ("neither a file nor a study", ["reproduce", "radio"], "'radio' is neither a file nor the id of a study"),
    ("an escape to reproduce", ["reproduce", "\x1b[2J"], "is neither a file nor the id of a study"),
    ("a folder to go on in that is not there", ["reproduce", "a.zip", "--resume", "none"], "there is no folder none"),
    ("surveys without a radius", ["crossmatch", "a.csv", "b.csv", "-o", "x"], "Missing option '--radius'"),
    ("a radius without a unit", ["crossmatch", "a", "b", "-o", "x", "--radius", "1"], "--radius '1' is no angle"),
    ("a radius in kilometres", ["crossmatch", "a", "b", "-o", "x", "--radius", "1km"], "--radius '1km' is no angle"),
    ("a radius below nought", ["crossmatch", "a", "b", "-o", "x", "--radius=-1arcsec"], "--radius '-1arcsec'"),
    ("an endless size", ["crossmatch", "a", "b", "-o", "x", "--radius", "1deg", "--size", "infdeg"], "--size 'infdeg'"),
    ("surveys that are not there", ["crossmatch", "a", "b", "-o", "x", "--radius", "1deg"], "there is no 'a'"),
    ("a survey of a name too long", ["crossmatch", "a" * 300, "b", "-o", "x", "--radius", "1deg"], "cannot be read"),
    ("an output that is there", ["crossmatch", "a", "b", "-o", ".", "--radius", "1deg"], "is there already"),
    ("surveys in a loop", ["crossmatch", "loop", "b", "-o", "x", "--radius", "1deg"], "'loop' cannot be read"),
    ("a column told twice", ["import", "a", "--dataset", "a", *["--column", "v=m:hsc"] * 2], "was told of before"),
    ("an archive without a name", ["archive", "0" * 32, "-o", "."], "the name of a file"),
    ("a table without a name", ["export", "0" * 32, "-o", "."], "the name of a file"),
    ("a table beyond a loop", ["export", "a.zip", "-o", "loop/x"], "there is no folder"),
    ("a table where none may be", ["export", "0" * 32, "-o", "/proc/x"], "/proc cannot be written"),
    ("too few galaxies", ["demo", "--galaxies", "3"], "'--galaxies': Input should be greater"),
    ("galaxies in words", ["demo", "--galaxies", "many"], "'--galaxies': Input should be a valid integer"),
    ("fewer embedders than none", ["up", "--embedders", "-1"], "'--embedders': Input"),
    ("no scorers", ["up", "--scorers", "0"], "'--scorers': Input"),
    ("an argument of a service", ["api", "now"], "unexpected extra argument"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the command."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(BAD_YAML)
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path


@pytest.mark.parametrize(("arguments", "says"), [pytest.param(*case, id=name) for name, *case in COMMANDS])
def test_a_command_is_refused(folder: Path, arguments: list[str], says: str) -> None:
    before = snapshot(folder)
    done = CliRunner().invoke(app, arguments, env={"SAMESKY_API_URL": NOWHERE})
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert done.stderr.startswith("samesky: ")
    assert done.stderr.removesuffix("\n").isprintable()
    assert done.stdout == ""
    assert snapshot(folder) == before


OUTPUTS: list[tuple[str, Callable[[Path], str]]] = [
    ("that is a folder", str),
    ("in a folder that is not there", lambda folder: str(folder / "none" / "x.csv")),
    ("of a name too long", lambda folder: str(folder / ("x" * 300))),
]


@pytest.mark.parametrize("place", [pytest.param(place, id=name) for name, place in OUTPUTS])
def test_an_output_that_cannot_be_written_is_refused(folder: Path, place: Callable[[Path], str]) -> None:
    before = snapshot(folder)
    with pytest.raises(BadInput, match="cannot be written"):
        deliver(b"x", Path(place(folder)), text=True)
    assert snapshot(folder) == before
