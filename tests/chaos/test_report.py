"""The tables add up seeds by store and in all, and say what broke; kinds that are not known are refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaos.__main__ import _again, _parse
from chaos.faults import Kind
from chaos.report import Outcome, draw_tables, write_outcome, write_report


def outcome(seed: int, storage: str, *, breaches: tuple[str, ...] = ()) -> Outcome:
    """An outcome of five faults."""
    return Outcome(
        seed=seed,
        storage=storage,
        faults={"kill worker": 3, "PUT cut": 2},
        requests={"cut": 7},
        steps=210,
        lost=len(breaches),
        doubled=0,
        repeated=21,
        restarts={"kill worker": [1.0, 4.0, 9.0]},
        processes={},
        seconds=60.0,
        breaches=list(breaches),
    )


def test_seeds_are_added_up_by_store_and_in_all() -> None:
    lines = draw_tables([outcome(1, "rclone"), outcome(2, "moto"), outcome(3, "rclone", breaches=("one",))]).split("\n")
    assert "| 1 | rclone | 5 | 0 | 0 | 21 of 210 (10.0%) | 4.0 | 9.0 | 60 | kept |" in lines
    assert "| 2 seeds | rclone | 10 | 1 | 0 | 42 of 420 (10.0%) | 4.0 | 9.0 | 120 | 1 breaches |" in lines
    assert "| 3 seeds | all | 15 | 1 | 0 | 63 of 630 (10.0%) | 4.0 | 9.0 | 180 | 1 breaches |" in lines
    assert "| kill worker | 3 | 6 | 9 |" in lines
    assert "| kill worker | 9 | 4.0 | 9.0 | 9.0 |" in lines


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    first = outcome(1, "moto", breaches=("scores: a pair has no score",))
    write_outcome(tmp_path, first)
    assert Outcome(**json.loads((tmp_path / "outcome.json").read_text())) == first
    assert "seed 1: scores: a pair has no score" in write_report(tmp_path, [first])


def test_kinds_are_named_as_they_are_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["chaos", "--seeds", "7", "--kinds", "kill-worker,storage", "--store", "moto"])
    asked = _parse()
    assert asked.kinds == {Kind.KILL_WORKER, Kind.STORAGE}
    again = _again(7, asked).split()
    assert again[again.index("--kinds") + 1] == "kill-worker,storage"
    monkeypatch.setattr("sys.argv", ["chaos", *again[3:]])
    assert vars(_parse()) == vars(asked)
    monkeypatch.setattr("sys.argv", ["chaos", "--kinds", "kill-cat"])
    with pytest.raises(SystemExit):
        _parse()
    assert "no kind kill-cat; there are kill-worker" in capsys.readouterr().err
