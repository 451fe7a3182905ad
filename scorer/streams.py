"""Random streams: one for each purpose, from nothing but the seed and a digest, of a pair or of its objects.

Imports numpy only. Which worker scores a pair, and what it scored before, changes no draw; NumPy may change its
streams between releases, which is why a score names NumPy's version.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Purpose = Literal["permutations", "bootstrap", "sample", "folds", "differences", "ties"]
# A purpose keeps its number for ever: another number is another stream, and other p-values.
_NUMBERS: dict[Purpose, int] = {
    "permutations": 0,
    "bootstrap": 1,
    "sample": 2,
    "folds": 3,
    "differences": 4,
    "ties": 5,
}


def open_stream(purpose: Purpose, seed: int, *digests: str) -> np.random.Generator:
    """The stream of one purpose at its start.

    digests: of a pair, a label or a set of objects; of two pairs that are compared, both, in order. Hexadecimal.
    """
    sequence = np.random.SeedSequence([seed, *(int(each, 16) for each in digests)], spawn_key=(_NUMBERS[purpose],))
    return np.random.Generator(np.random.PCG64(sequence))
