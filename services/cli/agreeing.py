"""A study run again, beside what it said before: for people, readable at 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from scorer.agreement import ResultAgreement, ScoreAgreement, StudyAgreement, Verdict, tell

_COLOURS = {Verdict.EQUAL: "green", Verdict.CLOSE: "cyan", Verdict.DIFFERENT: "red", Verdict.MISSING: "red"}
_MOST_LINES = 40
_WIDE = 20


def agreement_lines(agreement: StudyAgreement) -> Iterator[str | Table]:
    """A table of every result, then each number that is not equal, then what else differed, then the sum."""
    if agreement.scores:
        yield _table(agreement)
    told = [line for score in agreement.scores for line in tell(score, Verdict.CLOSE)]
    yield from told[:_MOST_LINES]
    if len(told) > _MOST_LINES:
        yield f"and {len(told) - _MOST_LINES} more numbers: see --json"
    same = sum(embedding.verdict is Verdict.EQUAL for embedding in agreement.embeddings)
    yield f"embeddings: {same} of {len(agreement.embeddings)} have the same bytes"
    yield from agreement.differences or ("packages and machine are those of then",)
    simulated = " of simulated objects" if agreement.simulated else ""
    yield f"study {agreement.study}{simulated}: {_sum(agreement)}"


def _sum(agreement: StudyAgreement) -> str:
    verdicts = Counter(verdict for score in agreement.scores for verdict in _verdicts(score))
    counted = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in Verdict if verdicts[verdict])
    unscored = f"; {agreement.unscored} pairs had no score then" if agreement.unscored else ""
    return f"{sum(verdicts.values())} results: {counted or 'nothing to compare'}{unscored}"


def _verdicts(score: ScoreAgreement) -> list[Verdict]:
    return [result.verdict for result in score.results] or [score.verdict]


def _table(agreement: StudyAgreement) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("modality", "model"):
        table.add_column(name, overflow="fold")
    table.add_column("result", no_wrap=True)
    for name in ("then", "now"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for score in agreement.scores:
        sides = _sides(score.label)
        for result in score.results:
            table.add_row(*sides, escape(result.label), *_values(result), _coloured(result.verdict))
        if not score.results:
            table.add_row(*sides, "", "", "", _coloured(score.verdict))
    return table


def _sides(label: str) -> tuple[str, str]:
    """Modality and model (with its layer, if named) of a pair, each once where both sides have the same."""
    left, right = (side.split("/", maxsplit=2) for side in label.split("|"))  # dataset, modality, model
    return escape(_both(left[1], right[1])), escape(_both(left[2], right[2]))


def _both(left: str, right: str) -> str:
    both = left if left == right else f"{left}|{right}"
    return both if len(both) <= _WIDE else both.replace("|", "\n|")


def _values(result: ResultAgreement) -> tuple[str, str]:
    value = next((figure for figure in result.figures if figure.name == "value"), None)
    if value is None:
        return "", ""
    return _number(value.then), _number(value.now)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _coloured(verdict: Verdict) -> Text:
    return Text(str(verdict), style=_COLOURS[verdict])
