"""A trend for people: one plain sentence, then tables readable at 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from services.cli.tables import add_row, format_p, plain_table
from shared.trends import LadderTrend, PooledTrend, SignTest, Slope, Trend


def in_words(trend: Trend) -> str:
    """The sign test in one sentence: `28 of 33 steps to a larger model raise MKNN (1 tie): ...`."""
    signs, k = trend.overall.signs, f" at k = {trend.k}" if trend.k else ""
    verb = "raises" if signs.steps == 1 else "raise"
    return (
        f"{signs.increases} of {_many(signs.steps, 'step')} to a larger model {verb} {trend.metric.upper()}{k} "
        f"({_ties(signs) or 'no tie'}): one-sided sign test p = {format_p(signs.p_value)}"
    )


def trend_tables(trend: Trend) -> list[Table]:
    """The tests over all ladders, the ladders of each group, and the families."""
    groups = [
        _group_table(group, [ladder for ladder in trend.ladders if ladder.group == group.name])
        for group in trend.groups
    ]
    return [_test_table(trend), *groups, _family_table(trend.families)]


def notes(trend: Trend) -> list[str]:
    """What the tables do not say: the unit of slopes, and each ladder that has no trend, with the reason."""
    without = [f"left out: {each.family} in {each.group}: {each.why}" for each in trend.left_out]
    return ["slope: rise for ten times the parameters, each family with a level of its own", *without]


def _test_table(trend: Trend) -> Table:
    table = plain_table("permutation tests, one-sided")
    table.add_column("", overflow="fold")
    for name in ("found", "p, apart", "p, together"):
        table.add_column(name, justify="right", no_wrap=True)
    overall = trend.overall
    for name, found, test in (
        ("steps that rise", _share(overall.signs), overall.signs),
        ("Spearman, mean of ladders", _signed(overall.spearman.estimate), overall.spearman),
        ("Kendall, pairs of sizes", _signed(overall.kendall.estimate), overall.kendall),
    ):
        add_row(table, name, found, format_p(test.apart.p_value), format_p(test.together.p_value))
    for page in trend.pages:
        found = f"{page.statistic:g}, expected {page.expected:g}"
        name = f"Page's L, {_many(page.ladders, 'ladder')} of {page.sizes} sizes"
        add_row(table, name, found, format_p(page.test.p_value), "")
    table.caption, table.caption_justify = _how(trend), "left"
    return table


def _how(trend: Trend) -> str:
    overall = trend.overall
    tests = [
        test for each in (overall.signs, overall.spearman, overall.kendall) for test in (each.apart, each.together)
    ]
    drawn = [test.permutations for test in tests if test.permutations]
    counted = f"{max(drawn)} arrangements drawn, seed {trend.seed}" if drawn else "every arrangement counted"
    return f"apart: values permuted in each ladder; together: sizes of a family, alike in all groups; {counted}"


def _group_table(group: PooledTrend, ladders: Sequence[LadderTrend]) -> Table:
    table = plain_table(f"{group.name}: {_in_short(group.signs)}")
    interval = f"{100 * group.slope.confidence:g}% interval"
    _add_columns(table, "sizes", "up", "Spearman", "Kendall", "slope", interval)
    for ladder in ladders:
        correlations = (_signed(ladder.spearman), _signed(ladder.kendall))
        up = f"{ladder.increases} of {ladder.steps}"
        add_row(table, ladder.family, str(len(ladder.sizes)), up, *correlations, *_slope(ladder.slope))
    if len(ladders) > 1:
        correlations = (_signed(group.spearman.estimate), _signed(group.kendall.estimate))
        add_row(table, "all", "", _share(group.signs), *correlations, *_slope(group.slope))
    return table


def _family_table(families: Sequence[PooledTrend]) -> Table:
    table = plain_table("families over all groups, p of Kendall's pairs")
    _add_columns(table, "ladders", "up", "Spearman", "Kendall", "p, apart", "p, together")
    for each in families:
        correlations = (_signed(each.spearman.estimate), _signed(each.kendall.estimate))
        p_values = (format_p(each.kendall.apart.p_value), format_p(each.kendall.together.p_value))
        add_row(table, each.name, str(each.ladders), _share(each.signs), *correlations, *p_values)
    return table


def _add_columns(table: Table, *names: str) -> None:
    table.add_column("family", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)


def _slope(slope: Slope) -> tuple[str, str]:
    interval = "two sizes: none" if slope.low is None else f"{slope.low:.2g} to {slope.high:.2g}"
    return f"{slope.per_decade:+.2g}", interval


def _share(signs: SignTest) -> str:
    return f"{signs.increases} of {signs.steps}"


def _in_short(signs: SignTest) -> str:
    ties = f" ({_ties(signs)})" if signs.ties else ""
    return f"{signs.increases} of {_many(signs.steps, 'step')} up{ties}, p = {format_p(signs.p_value)}"


def _signed(correlation: float | None) -> str:
    return "" if correlation is None else f"{correlation:+.2f}"


def _ties(signs: SignTest) -> str:
    return _many(signs.ties, "tie") if signs.ties else ""


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
