"""Results as tables for people, readable at 80 columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from rich import box
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from shared.outcomes import Transition
from shared.progress import JobProgress, PairProgress, StudyProgress
from shared.requests import VECTOR_RECIPE
from shared.states import State

_COLOURS = {
    State.QUEUED: "dim",
    State.RUNNING: "cyan",
    State.DONE: "green",
    State.FAILED: "red",
    State.CANCELLED: "yellow",
}
_NARROW, _ROOM_FOR_NAMES = 15, 32  # of a name; of modalities, models and n beside the other numbers
_LABEL = "label"  # the model that gives labels
_LABEL_RECIPE = "label-v1"
_ROOM_FOR_Q = 92
_SCORE_ORDER = (
    "dataset",
    "kind",
    "left_modality",
    "right_modality",
    "left_family",
    "left_parameters",
    "right_parameters",
    "left_model",
    "right_model",
    "left_layer",
    "right_layer",
)
Row = Mapping[str, Any]


def score_table(rows: Sequence[Row], width: int = 80) -> Group:
    """Score rows, as the api gives them: value, chance, p, interval, objects; a table per dataset and metric.

    A label has no model: its pairs show that of the embedding. With q, where rows have it and `width` has room for it.
    """
    with_q = width >= _ROOM_FOR_Q and any("q_value" in row for row in rows)
    groups: dict[str, list[Row]] = {}
    for row in sorted(rows, key=itemgetter(*_SCORE_ORDER)):
        groups.setdefault(_heading(row), []).append(row)
    tables = []
    for heading, members in groups.items():
        names = [(_sides(row["left_modality"], row["right_modality"]), _models(row)) for row in members]
        counted = [(*pair, str(row["objects"])) for row, pair in zip(members, names, strict=True)]
        tight = sum(max(map(len, column)) for column in zip(*counted, strict=True)) > _ROOM_FOR_NAMES
        tables.append(_empty_score_table(heading, with_q))
        for row, pair in zip(members, names, strict=True):
            add_row(tables[-1], *(map(fold_name, pair) if tight else pair), *_cells(row, with_q))
    return Group(*tables) if tables else Group("no score yet")


def _empty_score_table(heading: str, with_q: bool) -> Table:
    table = plain_table(heading)
    for name in ("modality", "model"):
        table.add_column(name, overflow="fold")
    for name in ("value", "chance", "calib.", "p", *(("q",) if with_q else ()), "interval", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _heading(row: Row) -> str:
    k = f", k = {row['k']}" if row["k"] else ""
    halves = sorted({row["left_dtype"], row["right_dtype"]} - {"float32"})
    computed = f" in {halves[0]}" if halves else ""
    return f"{name_dataset(row)}{computed}{_told(row)}: {row['metric']}{k}, {100 * row['confidence']:g}% interval"


def _told(row: Row) -> str:
    """Whether vectors were published, both sides' or one's; a label is no vector."""
    recipes = {row["left_recipe"], row["right_recipe"]} - {_LABEL_RECIPE}
    if VECTOR_RECIPE not in recipes:
        return ""
    return " as published" if len(recipes) == 1 else " as published, against computed here"


def _cells(row: Row, with_q: bool) -> tuple[str, ...]:
    return (
        f"{row['value']:.4f}",
        number(row["chance"], ".4f"),
        number(row["calibrated"], ".4f"),
        format_p(row["p_value"]),
        *((format_p(row.get("q_value")),) if with_q else ()),
        interval(row),
        str(row["objects"]),
    )


def _models(row: Row) -> str:
    """The models of a pair, with the layers that are not final; of a probe, that of the embedding."""
    left, right = (row["left_model"], row["left_layer"]), (row["right_model"], row["right_layer"])
    if row["kind"] == "probe":
        return name_model(*(right if left[0] == _LABEL else left))
    if left[0] == right[0] and left[1] != right[1]:
        return f"{left[0]}/{left[1]}|{right[1]}"
    return _sides(name_model(*left), name_model(*right))


def name_model(model: str, layer: str) -> str:
    """A model, and the layer where it is not the final one."""
    return model if layer == "final" else f"{model}/{layer}"


def interval(row: Row) -> str:
    """From low to high; nothing where there is none."""
    if row["low"] is None:
        return ""
    between = "-" if row["low"] >= 0 else " to "
    return f"{row['low']:.3f}{between}{row['high']:.3f}"


def format_p(p_value: float | None) -> str:
    """A p-value to two significant digits; nothing where there is none."""
    return number(p_value, ".2g")


def number(value: float | None, digits: str) -> str:
    """A number to so many digits; nothing where there is none."""
    return "" if value is None else f"{value:{digits}}"


def name_dataset(row: Row) -> str:
    """The dataset of a row, and whether it is a simulation."""
    return f"{row['dataset']} (simulated)" if row["simulated"] else str(row["dataset"])


def fold_name(name: str) -> str:
    """A long name on several lines, broken after a dash or slash and before a bar: `efficientnet-`, `lite0|lite1`."""
    lines = [""]
    for piece in re.split(r"(?<=[-/])(?!\d)|(?=\|)", name):
        if lines[-1] and len(lines[-1] + piece) > _NARROW:
            lines.append(piece)
        else:
            lines[-1] += piece
    return "\n".join(lines)


def _sides(left: str, right: str) -> str:
    """Both names, the second without the beginning it shares with the first, up to a dash."""
    if left == right:
        return left
    return f"{left}|{right.removeprefix(left.rpartition('-')[0] + '-')}"


def study_table(studies: Iterable[StudyProgress]) -> Table:
    """Studies with their states."""
    table = plain_table(None)
    table.add_column("study", no_wrap=True)
    table.add_column("title", overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("scores", justify="right", no_wrap=True)
    for study in studies:
        title = f"{study.title} (simulated)" if study.simulated else study.title
        add_row(table, study.id, title.strip(), coloured(study.state), _of(study.pairs))
    return table


def job_table(jobs: Iterable[JobProgress]) -> Table:
    """Jobs with rows done, objects left out and values mended, by reason."""
    table = plain_table(None)
    table.add_column("embedding", overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("left out", overflow="fold")
    table.add_column("mended", overflow="fold")
    for job in jobs:
        rows = f"{job.rows_done} of {job.rows}"
        add_row(table, job.label, coloured(job.state), rows, _by_reason(job.dropped), _by_reason(job.repaired))
    return table


def _by_reason(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.items())


def history_table(transitions: Iterable[Transition]) -> Table:
    """Changes of state, oldest first."""
    table = plain_table(None)
    for name in ("when", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("step", "worker", "why"):
        table.add_column(name, overflow="fold")
    for transition in transitions:
        add_row(
            table, transition.at[:23], coloured(transition.state), transition.step, transition.worker, transition.why
        )
    return table


def model_table(rows: Iterable[Row]) -> Table:
    """Models, family by family."""
    table = plain_table(None)
    for name in ("model", "family"):
        table.add_column(name, no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("takes", no_wrap=True)
    table.add_column("checkpoint", overflow="fold")
    for row in rows:
        add_row(table, row["name"], row["family"], f"{row['parameters']:g} M", row["takes"], row["checkpoint"])
    return table


def dataset_table(rows: Iterable[Row]) -> Table:
    """Datasets with their modalities."""
    table = plain_table(None)
    table.add_column("dataset", no_wrap=True)
    table.add_column("modalities", overflow="fold")
    table.add_column("what it is", overflow="fold")
    for row in rows:
        title = f"{row['title']} (simulated)" if row["simulated"] else row["title"]
        add_row(table, row["name"], ", ".join(modality["name"] for modality in row["modalities"]), title)
    return table


def summary(progress: StudyProgress) -> str:
    """One line on where a study is."""
    simulated = " of simulated objects" if progress.simulated else ""
    return (
        f"study {progress.id}{simulated} is {progress.state}: "
        f"{_of(progress.jobs)} embeddings, {_of(progress.pairs)} scores"
    )


def reasons(jobs: Iterable[JobProgress], pairs: Iterable[PairProgress]) -> list[str]:
    """Why jobs, and pairs that failed on their own account, failed: one line each."""
    failed_jobs = [job for job in jobs if job.failure]
    known = {job.failure.wrong for job in failed_jobs if job.failure}
    failures = [job.failure for job in failed_jobs]
    failures += [pair.failure for pair in pairs if pair.failure and not any(why in pair.failure.wrong for why in known)]
    return [
        f"{failure.label}: {'; '.join(part for part in (failure.wrong, failure.remedy) if part)}"
        for failure in failures
        if failure
    ]


def coloured(state: State) -> Text:
    """A state in its colour."""
    return Text(str(state), style=_COLOURS[state])


def _of(states: Mapping[State, int]) -> str:
    return f"{states.get(State.DONE, 0)} of {sum(states.values())}"


def add_row(table: Table, *cells: str | Text) -> None:
    """Add a row of plain text: brackets in a name or a title are only brackets, never rich's markup."""
    table.add_row(*(escape(cell) if isinstance(cell, str) else cell for cell in cells))


def plain_table(title: str | None) -> Table:
    """An empty table as all of ours look."""
    return Table(
        title=None if title is None else escape(title),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
