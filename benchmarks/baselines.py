"""Plain implementations to measure against, written fairly: what a careful person would write in an afternoon."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import NearestNeighbors

Matrix = npt.NDArray[np.float32]


def multiply_all(matrix: Matrix, block: int = 1024) -> float:
    """One float32 pass of the full similarity matrix, and nothing else: the yardstick. Returns its trace."""
    products = (matrix[start : start + block] @ matrix.T for start in range(0, len(matrix), block))
    return float(sum(np.trace(product, offset=row * block) for row, product in enumerate(products)))


def neighbours_by_sklearn(matrix: Matrix, k: int) -> npt.NDArray[np.int64]:
    """The k nearest neighbours by cosine, the first hit taken for the object itself."""
    searched = NearestNeighbors(n_neighbors=k + 1, metric="cosine", algorithm="brute").fit(matrix)
    return np.asarray(searched.kneighbors(return_distance=False, X=matrix)[:, 1:])


def mknn_by_sets(left: npt.NDArray[np.integer], right: npt.NDArray[np.integer]) -> float:
    """MKNN of two neighbour tables, with Python sets."""
    shared = [len(set(a) & set(b)) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    return float(np.mean(shared) / left.shape[1])


def neighbours_by_torch(matrix: Matrix, k: int) -> npt.NDArray[np.int64]:
    """The k nearest neighbours by cosine, from all similarities at once, sorted: as arXiv 2405.07987's authors do."""
    import torch  # only here: who measures memory must not count what is not used

    unit = torch.from_numpy(matrix / np.linalg.norm(matrix, axis=1, keepdims=True))
    similarities = (unit @ unit.T).fill_diagonal_(-1e8)
    return similarities.argsort(dim=1, descending=True)[:, :k].numpy()


def mknn_by_masks(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> float:
    """MKNN of two neighbour tables, with two N x N masks, as the same authors do."""
    import torch

    n, k = left.shape
    masks = [torch.zeros(n, n).scatter_(1, torch.from_numpy(table), 1.0) for table in (left, right)]
    return float(((masks[0] * masks[1]).sum(dim=1) / k).mean())


def relabel_by_search(left: Matrix, right: Matrix, k: int, permutations: int, seed: int) -> list[float]:
    """The null, by searching anew for every permutation."""
    rng, ours = np.random.default_rng(seed), neighbours_by_sklearn(left, k)
    return [
        mknn_by_sets(ours, neighbours_by_sklearn(right[rng.permutation(len(right))], k)) for _ in range(permutations)
    ]


def relabel_by_sets(
    left: npt.NDArray[np.integer], right: npt.NDArray[np.integer], permutations: Sequence[npt.NDArray[np.integer]]
) -> list[int]:
    """The null as counts of shared neighbours, by relabelling one side's rows and holding sets against sets."""
    theirs = [set(row) for row in right.tolist()]
    return [
        sum(len(theirs[place].intersection(ends)) for place, ends in zip(p.tolist(), p[left].tolist(), strict=True))
        for p in permutations
    ]
