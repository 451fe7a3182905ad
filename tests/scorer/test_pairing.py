"""A pair is joined on object id, whatever the order its sides were stored in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.pairing import id_set_digest, join
from shared.errors import DuplicateObjectIds, TooFewObjects

ids = st.lists(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=4), unique=True)


@given(ids, ids)
@settings(max_examples=50, deadline=None)
def test_rows_point_at_the_shared_objects(left: list[str], right: list[str]) -> None:
    overlap = join(left, right, at_least=0)
    assert set(overlap.object_ids) == set(left) & set(right)
    assert list(overlap.object_ids) == sorted(overlap.object_ids)
    assert tuple(left[row] for row in overlap.left_rows) == overlap.object_ids
    assert tuple(right[row] for row in overlap.right_rows) == overlap.object_ids
    assert (overlap.left_objects, overlap.right_objects) == (len(left), len(right))


@given(ids, ids, st.data())
@settings(max_examples=50, deadline=None)
def test_neither_order_nor_side_matters(left: list[str], right: list[str], data: st.DataObject) -> None:
    overlap = join(left, right, at_least=0)
    shuffled = join(data.draw(st.permutations(right)), data.draw(st.permutations(left)), at_least=0)
    assert shuffled.object_ids == overlap.object_ids
    assert id_set_digest(shuffled.object_ids) == id_set_digest(data.draw(st.permutations(overlap.object_ids)))


@given(ids, ids)
@settings(max_examples=50, deadline=None)
def test_another_set_has_another_name(left: list[str], right: list[str]) -> None:
    assert (id_set_digest(left) == id_set_digest(right)) == (set(left) == set(right))
    assert len(id_set_digest(left)) == 32


def test_too_few_says_both_sizes_and_the_overlap() -> None:
    with pytest.raises(TooFewObjects, match="of 3 and 2 objects, share 0; expected at least 1 shared"):
        join(["a", "b", "c"], ["x", "y"])
    with pytest.raises(TooFewObjects, match="share 2; expected at least 3"):
        join(["a", "b", "c"], ["b", "a"], at_least=3)


def test_a_repeated_object_is_refused() -> None:
    with pytest.raises(DuplicateObjectIds, match="right embedding names 3 objects, of which 2 differ"):
        join(["a", "b"], ["a", "b", "a"])
