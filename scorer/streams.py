"""Random streams of a pair, or of several: one for each purpose, from nothing but the seed and the pair's digest.

Imports numpy only. Which worker scores a pair, and what it scored before, changes no draw; NumPy may change its
streams between releases, which is why a score names NumPy's version.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Purpose = Literal["permutations", "bootstrap", "differences", "layers"]
# A purpose keeps its number for ever: another number is another stream, and other p-values.
_NUMBERS: dict[Purpose, int] = {"permutations": 0, "bootstrap": 1, "differences": 4, "layers": 5}


def open_stream(purpose: Purpose, seed: int, *pair_digests: str) -> np.random.Generator:
    """The stream of one purpose for one pair, or several in this order, at its start. pair_digests: hexadecimal."""
    entropy = [seed, *(int(digest, 16) for digest in pair_digests)]
    sequence = np.random.SeedSequence(entropy, spawn_key=(_NUMBERS[purpose],))
    return np.random.Generator(np.random.PCG64(sequence))
