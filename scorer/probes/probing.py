"""An embedding and a label of its objects, joined and ready to be probed: what a probe may look at.

Imports numpy and the contracts only, so that the registry of probes can be read where FAISS is not installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scorer.comparison import Side
from scorer.pairing import id_set_digest
from scorer.streams import open_stream
from shared.contracts import Scoring
from shared.errors import BadRecord, DegenerateEmbedding, TooFewObjects

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FOLDS = 5
FEWEST = 2 * FOLDS
"""Objects needed to probe anything: two in every fold."""


@dataclass(frozen=True, slots=True, eq=False)
class Probing:
    """An embedding's side and a label of the same n objects, in the same order, and how they are to be scored.

    values: `(n,) float64`, the label's numbers, or indices into `classes` where there are some. pair_digest,
    label_digest: of the pair, and of its label, for the streams. k: neighbours to count now, one of `scoring.k`.
    Raises DegenerateEmbedding when all objects have one value, TooFewObjects for a class that occurs in fewer than
    FOLDS objects, BadRecord for an index that names no class, ValueError for another shape.
    """

    object_ids: tuple[str, ...]
    side: Side
    values: Floats
    classes: tuple[str, ...]
    scoring: Scoring
    pair_digest: str
    label_digest: str
    k: int

    def __post_init__(self) -> None:
        n = len(self.object_ids)
        if self.values.shape != (n,) or self.values.dtype != np.float64 or not np.isfinite(self.values).all():
            raise ValueError(f"the label of {n} objects is ({n},) finite float64")
        if self.classes:
            self._check_classes()
        if not np.ptp(self.values):
            told = repr(self.classes[int(self.values[0])]) if self.classes else f"{self.values[0]:g}"
            raise DegenerateEmbedding(
                f"the label of all {n} shared objects is {told}",
                "a label that differs between objects",
                "look at the label's column, and at what either side dropped",
            )

    def _check_classes(self) -> None:
        found, counts = np.unique(self.values, return_counts=True)
        unknown = found[~np.isin(found, np.arange(len(self.classes)))]
        if len(unknown):
            raise BadRecord(
                f"the label has the value {unknown[0]:g}", f"an index of one of {len(self.classes)} classes"
            )
        if counts.min() < FOLDS:
            rarest = self.classes[int(found[counts.argmin()])]
            raise TooFewObjects(
                f"{counts.min()} of the {len(self.values)} shared objects are of class {rarest!r}",
                f"at least {FOLDS} of every class that occurs",
                "take more objects, or leave this class out of the label's classes",
            )

    @property
    def codes(self) -> Ints:
        """The class of each object, `(n,)`: 0 to C - 1 for the C classes that occur."""
        return np.unique(self.values, return_inverse=True)[1].astype(np.int64)

    def permutations(self, *, slow: bool = False) -> Iterator[Ints]:
        """The relabellings of these objects, each `(n,)`, as those of `Comparison`.

        slow: only the first `scoring.slow_permutations` of them, for a probe that is fitted anew for each.
        """
        stream = open_stream("permutations", self.scoring.seed, id_set_digest(self.object_ids))
        count = self.scoring.slow_permutations if slow else self.scoring.permutations
        return (stream.permutation(len(self.object_ids)) for _ in range(count))

    def resampling(self) -> np.random.Generator:
        """The stream of the pair's bootstrap draws, from its start."""
        return open_stream("bootstrap", self.scoring.seed, self.pair_digest)

    def folding(self) -> np.random.Generator:
        """The stream that deals objects to folds, from its start.

        It is the label's, not the pair's: embeddings of the same objects are probed in the same folds, so that one is
        not better than another by the luck of the deal.
        """
        return open_stream("folds", self.scoring.seed, self.label_digest)
