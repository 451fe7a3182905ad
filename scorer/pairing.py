"""Which objects two embeddings share: a join on object id, never on row order. Pure functions on ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.errors import DuplicateObjectIds, TooFewObjects


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """The objects two embeddings share.

    object_ids: sorted by code point, so that the order in which either side was stored does not matter.
    left_rows, right_rows: `(n,) int64`, where each of them stands on its side. left_objects, right_objects: sizes.
    """

    object_ids: tuple[str, ...]
    left_rows: npt.NDArray[np.int64]
    right_rows: npt.NDArray[np.int64]
    left_objects: int
    right_objects: int


def join(left_ids: Sequence[str], right_ids: Sequence[str], *, at_least: int = 1) -> Overlap:
    """The objects that stand on both sides.

    Raises TooFewObjects, with both sizes and the overlap, for fewer than `at_least`; DuplicateObjectIds when a side
    names an object twice.
    """
    left, right = _rows("left", left_ids), _rows("right", right_ids)
    shared = sorted(left.keys() & right.keys())
    if len(shared) < at_least:
        raise TooFewObjects(
            f"the embeddings, of {len(left)} and {len(right)} objects, share {len(shared)}",
            f"at least {at_least} shared objects",
            "look at what either side dropped, and at their object ids; take a smaller k, or more objects",
        )
    return Overlap(
        object_ids=tuple(shared),
        left_rows=np.array([left[object_id] for object_id in shared], dtype=np.int64),
        right_rows=np.array([right[object_id] for object_id in shared], dtype=np.int64),
        left_objects=len(left),
        right_objects=len(right),
    )


def id_set_digest(object_ids: Iterable[str]) -> str:
    """The name of a set of objects: 128 bits of the SHA-256 of its ids, as 32 hexadecimal digits."""
    # no object id holds a control character, so a line feed parts them without doubt
    return hashlib.sha256("\n".join(sorted(object_ids)).encode()).hexdigest()[:32]


def _rows(side: str, object_ids: Sequence[str]) -> dict[str, int]:
    rows = {object_id: row for row, object_id in enumerate(object_ids)}
    if len(rows) != len(object_ids):
        raise DuplicateObjectIds(
            f"the {side} embedding names {len(object_ids)} objects, of which {len(rows)} differ", "each object once"
        )
    return rows
