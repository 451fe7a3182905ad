"""The q-values of a study: each p-value as one of the many that the study asks for.

Imports numpy, through the scorer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from scorer.discoveries import benjamini_hochberg
from scorer.overviews.named import Named
from shared.contracts import ScoreSpec
from shared.outcomes import ScoreRecord


class PValue(NamedTuple):
    """The p-value of one result of a score."""

    metric: str
    k: int | None
    p_value: float


def p_values_of(record: ScoreRecord) -> tuple[PValue, ...]:
    """Those results of a record that have a p-value."""
    return tuple(PValue(one.metric, one.k, one.p_value) for one in record.results if one.p_value is not None)


def q_values(found: Iterable[tuple[ScoreSpec, Sequence[PValue]]]) -> dict[Named, float]:
    """Benjamini-Hochberg q-values, each over the results with the same metric, k and kind of pair."""
    families: dict[tuple[str, int | None, str], dict[Named, float]] = {}
    for spec, tested in found:
        for metric, k, p_value in tested:
            named = Named(spec.digest, metric, k)
            families.setdefault((metric, k, spec.pair.kind), {})[named] = p_value
    return {
        named: float(q)
        for family in families.values()
        for named, q in zip(family, benjamini_hochberg(np.array(list(family.values()))), strict=True)
    }
