"""From rungs in any order to ladders: the sizes of one family within one group, smallest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.errors import TooFewSizes
from shared.trends import LeftOut, Rung

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_MOST_SIZES = 64


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """n >= 2 sizes of one family within one group, no two of them equally large.

    decades: `(n,)`, log10 of the parameters, rising. values: `(n,)`. ranks: `(n,)`, those of the values, twice over,
    so that the mean rank of tied values is a whole number too.
    """

    group: str
    family: str
    sizes: tuple[str, ...]
    parameters: tuple[float, ...]
    decades: Floats
    values: Floats
    ranks: Ints


def build_ladders(rungs: Iterable[Rung]) -> tuple[list[Ladder], list[LeftOut]]:
    """The ladders of these rungs by group and family, and those left out, with the reason.

    Left out are families with one size, with two equally large ones, with one that has no parameters, or with more
    than 64 sizes. Raises TooFewSizes when no ladder is left.
    """
    by_name: dict[tuple[str, str], list[Rung]] = {}
    for rung in rungs:
        by_name.setdefault((rung.group, rung.family), []).append(rung)
    ladders: list[Ladder] = []
    left_out: list[LeftOut] = []
    for (group, family), members in sorted(by_name.items()):
        members.sort(key=lambda rung: (rung.parameters, rung.size))
        why = _without_trend(members)
        if why:
            left_out.append(LeftOut(group=group, family=family, why=why))
        else:
            ladders.append(_ladder(members))
    if not ladders:
        reasons = "; ".join(f"{each.group}, {each.family}: {each.why}" for each in left_out[:3])
        raise TooFewSizes(
            f"no family can show a trend ({reasons})" if left_out else "there is no score to show a trend",
            "at least one family with two sizes",
            "score a second size of some family in the same group",
        )
    return ladders, left_out


def rank_twice(values: Floats) -> Ints:
    """Ranks of `values` `(n,)`, times two: 2 to 2n, tied values with their mean rank."""
    lower = (values[:, None] > values).sum(axis=1)
    equal = (values[:, None] == values).sum(axis=1)
    return np.asarray(2 * lower + equal + 1, dtype=np.int64)


def _without_trend(members: Sequence[Rung]) -> str:
    if len(members) == 1:
        return "one size only"
    if len(members) > _MOST_SIZES:
        return f"{len(members)} sizes, more than {_MOST_SIZES}"
    if members[0].parameters == 0:
        return f"{members[0].size} has no parameters, and so no place among sizes"
    for smaller, larger in zip(_decades(members), _decades(members)[1:], strict=False):
        if smaller == larger:
            return f"two models of {10**smaller:g} million parameters, of which neither is the larger"
    return ""


def _ladder(members: Sequence[Rung]) -> Ladder:
    values = np.array([rung.value for rung in members], dtype=np.float64)
    return Ladder(
        group=members[0].group,
        family=members[0].family,
        sizes=tuple(rung.size for rung in members),
        parameters=tuple(rung.parameters for rung in members),
        decades=_decades(members),
        values=values,
        ranks=rank_twice(values),
    )


def _decades(members: Sequence[Rung]) -> Floats:
    return np.log10(np.array([rung.parameters for rung in members], dtype=np.float64))
