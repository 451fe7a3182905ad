"""A plan for people, readable at 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from services.cli.tables import add_row, plain_table
from shared.plans import PairsPlan, PassPlan, StudyPlan

_MOST_PASSES = 40
_HOW = {
    "measured": "measured",
    "measured on other data": "other data",
    "estimated": "estimated",
    "only read": "only read",
}
_TIMES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
_SIZES = ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"))


def plan_lines(plan: StudyPlan) -> Iterator[str | Table]:
    """What is asked for, a table of jobs, a table of scores, and what it comes to."""
    yield f"study {plan.study}{' of simulated objects' if plan.simulated else ''}"
    yield f"{plan.jobs:,} embeddings, of which {plan.jobs_done:,} are done"
    yield f"{plan.pairs:,} scores, of which {plan.pairs_done:,} are done"
    passes = [one for one in plan.passes if one.rows]
    if passes:
        yield _pass_table(sorted(passes, key=lambda one: -one.seconds)[:_MOST_PASSES])
    if len(passes) > _MOST_PASSES:
        yield f"and {len(passes) - _MOST_PASSES:,} more, which take less: see --json"
    pairs = [one for one in plan.scores if one.pairs_done < one.pairs]
    if pairs:
        yield _pairs_table(pairs)
    yield from _sum(plan)
    yield from _grounds(plan, passes)


def _pass_table(passes: Sequence[PassPlan]) -> Table:
    table = plain_table(None)
    table.add_column("embedding", overflow="fold")
    for name in ("rows", "parts", "takes", "reads", "writes"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("how known", no_wrap=True)
    for one in passes:
        left = one.jobs - one.jobs_done
        layers = f", {left} layers" if left > 1 else ""
        computed = "" if one.dtype == "float32" else f" in {one.dtype}"
        add_row(
            table,
            f"{one.dataset}/{one.modality}/{one.model}{computed}{layers}",
            f"{one.rows:,}",
            f"{one.parts:,}",
            format_seconds(one.seconds),
            "" if one.bytes_read is None else format_bytes(one.bytes_read),
            format_bytes(one.bytes_written),
            _HOW.get(one.basis, ""),
        )
    return table


def _pairs_table(pairs: Sequence[PairsPlan]) -> Table:
    table = plain_table(None)
    table.add_column("scores", overflow="fold")
    for name in ("pairs", "searches", "takes", "reads", "writes"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("how known", no_wrap=True)
    for one in pairs:
        left = f"{one.pairs - one.pairs_done:,}"
        sizes = format_seconds(one.seconds), format_bytes(one.bytes_read), format_bytes(one.bytes_written)
        add_row(table, f"{one.dataset} {one.what}", left, f"{one.searches:,}", *sizes, _HOW[one.basis])
        inside = [("search", one.search_seconds), *((each.metric, each.seconds) for each in one.metrics)]
        for name, seconds in sorted(inside, key=lambda each: -each[1]):
            if seconds:
                add_row(table, f"  {name}", "", "", format_seconds(seconds), "", "", "")
    return table


def _sum(plan: StudyPlan) -> Iterator[str]:
    """What all of it comes to."""
    if plan.seconds_most == 0:
        yield "nothing is left to do"
        return
    read = "" if plan.bytes_read is None else f"{format_bytes(plan.bytes_read)} to read, "
    written = f"{format_bytes(plan.bytes_written)} to write"
    yield f"in all: {plan.rows:,} rows, {plan.core_hours:,.3g} core-hours, {read}{written}"
    crew = ((plan.embedders, "embedder"), (plan.scorers, "scorer"), (plan.threads, "thread"))
    yield f"with {', '.join(_count(*each) for each in crew)} each:"
    embedding, scoring = format_seconds(plan.embedding_seconds), format_seconds(plan.scoring_seconds)
    least, most = format_seconds(plan.seconds_least), format_seconds(plan.seconds_most)
    yield f"  {least} to {most}: embedding {embedding} and scoring {scoring}, which overlap"


def _grounds(plan: StudyPlan, passes: Sequence[PassPlan]) -> Iterator[str]:
    """What the numbers rest on."""
    if any(one.basis == "estimated" for one in passes):
        yield f"estimated: by operations, at {plan.rate:,.3g} GFLOP/s an embedder:"
        yield f"  {plan.rate_from}"
        yield "  (--measure tries each model first)"
    if any(one.basis == "measured on other data" for one in passes):
        yield "other data: as measured here of the same model, shown something else"
    if plan.pairs_done < plan.pairs:
        measured = _count(plan.scores_measured, "score")
        corrected = (
            f"corrected by {measured} measured here" if plan.scores_measured else "at the speed of the api's machine"
        )
        yield f"scores: by the laws of their metrics, {corrected}"


def format_seconds(seconds: float) -> str:
    """A time in its largest unit: `0.8 s`, `2.5 min`, `31 h`."""
    for size, unit in _TIMES:
        if seconds >= 2 * size:
            return f"{_round(seconds / size)} {unit}"
    return f"{_round(seconds)} s"


def format_bytes(size: float) -> str:
    """A size in its largest unit: `12 kB`, `2.6 MB`."""
    for one, unit in _SIZES:
        if size >= one:
            return f"{_round(size / one)} {unit}"
    return f"{_round(size / 1e3)} kB"


def _round(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.1f}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
