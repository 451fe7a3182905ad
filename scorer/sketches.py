"""Short unit vectors whose inner products bound cosine similarities from above: most of a search, in few dimensions.

Imports numpy only. Let B have orthonormal columns, u be a unit vector, s = B'u its sketch's first numbers, and
e = u - Bs what they leave out. Then e is orthogonal to B's columns, |e|^2 = 1 - |s|^2, and for two such vectors

    u.v = s_u.s_v + e_u.e_v <= s_u.s_v + |e_u| |e_v|        (Cauchy-Schwarz)

which is the inner product of the sketches (s, |e|), unit vectors themselves. So what a search among sketches leaves
out, its last candidate bounds. B is the leading subspace of a sample, because |e| is small there if anywhere; that B
is a good one decides what a search costs, and never what it finds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_SAMPLE = 512  # vectors whose leading subspace is taken
_PROBES = 32  # vectors that are searched for in full, to see what a sketch would leave undecided
_SIZES = (16, 32, 48, 64, 96, 128, 192, 256)
_FEWEST = 4096  # vectors below which there is little to save
_ROUNDS = 2  # of subspace iteration
_ROWS = 2048  # projected at once

# What a search costs, in multiply-adds for each pair of vectors beyond those of its inner products, as measured with
# FAISS 1.15 on two cores: keeping candidates, and looking again at each of them, whose vector is far away in memory.
_KEEPING, _KEEPING_EACH, _KEEPING_MOST = 40.0, 1.0, 130.0
_LOOKING_AGAIN = 20.0
_WORTHWHILE = 0.8  # of a full search: a plan that promises less gain is not followed


class Plan(NamedTuple):
    """How to sketch. basis: `(d, p) float64`, orthonormal columns. candidates: how many to keep of each search."""

    basis: Doubles
    candidates: int

    def sketch(self, matrix: Floats, norms: Doubles) -> Floats:
        """The sketches `(n, p + 1)` of the directions of these vectors `(n, d)`, of these norms `(n,)`.

        Their inner products, taken in float32, are no less than the cosines but for (p + 5) 2^-24: computed in
        float64, their numbers are right before they are rounded once.
        """
        size = self.basis.shape[1]
        sketches = np.empty((len(matrix), size + 1), dtype=np.float32)
        for start in range(0, len(matrix), _ROWS):
            rows = slice(start, start + _ROWS)
            inside = (matrix[rows].astype(np.float64) @ self.basis) / norms[rows, None]
            left_out = 1.0 - np.square(inside).sum(axis=1)
            # 1 - |s|^2 is wrong by a few d 2^-53, of which the root could be much: what is left out is told too large
            slack = (len(self.basis) + 4) * 2.0**-50
            sketches[rows, :size], sketches[rows, size] = inside, np.sqrt(np.maximum(left_out, 0.0) + slack)
        return sketches


def make_plan(unit: Floats, k: int) -> Plan | None:
    """How to sketch these unit vectors `(n, d)` for a search of k neighbours; None where it would not pay.

    A few vectors are searched for in full, and the sketch is taken that would have cost least for them: of isotropic
    vectors every sketch leaves nearly all in doubt. The sample is the same each time.
    """
    n, dimension = unit.shape
    sizes = [size for size in _SIZES if 3 * size <= dimension]
    if n < _FEWEST or not sizes:
        return None
    stream = np.random.default_rng(0)
    basis = leading_subspace(unit[stream.choice(n, _SAMPLE, replace=False)], sizes[-1])
    probes = np.sort(stream.choice(n, _PROBES, replace=False))
    kth = np.partition(unit[probes] @ unit.T, n - k - 1, axis=1)[:, n - k - 1]  # of k and the vector itself
    inside = unit @ basis.astype(np.float32)
    plans = [(cost, size, kept) for size in sizes for cost, kept in _costs(inside[:, :size], probes, kth, dimension)]
    cost, size, kept = min(plans)
    full = dimension + _cost_of_keeping(k)
    return Plan(basis[:, :size], kept) if cost < _WORTHWHILE * full else None


def leading_subspace(sample: Floats, size: int) -> Doubles:
    """Orthonormal columns `(d, size)`, leading first, that nearly span the leading right singular vectors.

    sample: `(m, d)`, not centred. By randomised subspace iteration (Halko, Martinsson & Tropp 2011, arXiv 0909.4061).
    """
    numbers = sample.astype(np.float64)
    columns = np.random.default_rng(0).standard_normal((numbers.shape[1], size))
    for _ in range(_ROUNDS):
        columns = np.linalg.qr(numbers.T @ (numbers @ columns))[0]
    projected = numbers @ columns
    turn = np.linalg.eigh(projected.T @ projected)[1][:, ::-1]
    basis: Doubles = np.linalg.qr(columns @ turn)[0]
    return basis


def _costs(inside: Floats, probes: npt.NDArray[np.int64], kth: Floats, dimension: int) -> list[tuple[float, int]]:
    """What searches with these sketches would cost for some numbers of candidates, and these numbers.

    inside: `(n, p)`, the sketches but for what is left out. kth: similarity of each probe's k-th neighbour.
    """
    n, size = inside.shape
    left_out = np.sqrt(np.maximum(0, 1 - np.square(inside).sum(axis=1)))
    bounds = inside[probes] @ inside.T + left_out[probes, None] * left_out
    rivals = np.sort((bounds >= kth[:, None]).sum(axis=1))
    costs = []
    for settled in (len(probes) * 3 // 4, len(probes) * 15 // 16, len(probes) - 1):
        kept = int(1.1 * rivals[settled]) + 2
        if kept <= n // 8:
            in_doubt = float((rivals >= kept).mean())
            looking = _LOOKING_AGAIN * kept * dimension / n
            costs.append((size + _cost_of_keeping(kept) + looking + in_doubt * (dimension + 50), kept))
    return costs or [(np.inf, n)]


def _cost_of_keeping(candidates: int) -> float:
    return min(_KEEPING + _KEEPING_EACH * candidates, _KEEPING_MOST)
