"""What names one result of a study, and what is known of it beside its record."""

from __future__ import annotations

from typing import NamedTuple


class Named(NamedTuple):
    """One result of a study. score: digest of its score."""

    score: str
    metric: str
    k: int | None
