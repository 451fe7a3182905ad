"""On which ladders of model sizes a pair stands, and what people call them. Imports `shared` only.

A ladder is the sizes of one family, compared in one way. Of a crossmodal pair it is one model that stands on it, by
both its sides. Of a crosskind pair, two models of different families, either side may vary while the other, its
modality and its one model, stays the same: so a pair may stand on two ladders. What was computed here and what was
published never share one, nor do other layers than the final ones stand on any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, Protocol

from shared.contracts import EmbeddingSpec, PairKind

LadderKind = Literal["crossmodal", "crosskind"]


class Side(NamedTuple):
    """One side of a pair, as far as a ladder asks. parameters: in millions. published: not computed here."""

    modality: str
    family: str
    model: str
    parameters: float
    published: bool

    @classmethod
    def of(cls, spec: EmbeddingSpec) -> Side:
        """This embedding as a side."""
        model = spec.model
        return cls(spec.modality.name, model.family, model.name, model.parameters, spec.published)


class Compared(Protocol):
    """What is compared with what: of a crosskind ladder, the left side varies, and the right one is `against`."""

    @property
    def left_modality(self) -> str: ...
    @property
    def right_modality(self) -> str: ...
    @property
    def against(self) -> str | None: ...
    @property
    def left_published(self) -> bool: ...
    @property
    def right_published(self) -> bool: ...


class LadderName(NamedTuple):
    """What is the same along a ladder. dataset: its digest, or its name. against: of a crosskind ladder, the model."""

    dataset: str
    kind: LadderKind
    left_modality: str
    right_modality: str
    against: str | None
    left_published: bool
    right_published: bool
    family: str


class Place(NamedTuple):
    """A pair's place on one of its ladders. pair: its index. flipped: whether it is its right side that varies."""

    pair: int
    ladder: LadderName
    model: str
    parameters: float
    flipped: bool


def find_places(pairs: Iterable[tuple[str, PairKind, Side, Side]]) -> list[Place]:
    """The places of these pairs, each a dataset, a kind and two sides of final layers, on all ladders they stand on.

    Kinds other than crossmodal and crosskind stand on none. Nor does a family against a model of its own: that size is
    wanting on its ladder, being crossmodal.
    """
    return [place for index, pair in enumerate(pairs) for place in _places(index, *pair)]


def with_a_step(places: Iterable[Place]) -> list[Place]:
    """The places without those on crosskind ladders of one size, which say nothing of size.

    Such a ladder there is of every model that the sizes of another family are held against.
    """
    given = list(places)
    sizes: dict[LadderName, set[float]] = {}
    for place in given:
        sizes.setdefault(place.ladder, set()).add(place.parameters)
    return [place for place in given if place.ladder.kind == "crossmodal" or len(sizes[place.ladder]) > 1]


def name_group(dataset: str, of: Compared) -> str:
    """What people read of a dataset and what is compared in it: `jwst_hsc: hsc | jwst`."""
    return f"{tell_published(dataset, of)}: {name_sides(of)}"


def tell_published(dataset: str, of: Compared) -> str:
    """What people call a dataset where this is compared in it: `jwst_hsc as published` where both sides are."""
    return f"{dataset} as published" if of.left_published and of.right_published else dataset


def name_sides(of: Compared, between: str = " | ") -> str:
    """The modalities, one where both are the same; of a crosskind ladder, `hsc against desi by specformer-base`.

    Where one side alone was published, it is said of that side.
    """
    both = of.left_published and of.right_published
    left, right = (
        f"{name}{' as published' if published and not both else ''}"
        for name, published in (
            (of.left_modality, of.left_published),
            (of.right_modality if of.against is None else f"{of.right_modality} by {of.against}", of.right_published),
        )
    )
    return between.join(dict.fromkeys((left, right))) if of.against is None else f"{left} against {right}"


def _places(index: int, dataset: str, kind: PairKind, left: Side, right: Side) -> Iterator[Place]:
    if kind == "crossmodal":
        size = max(left.parameters, right.parameters)
        ladder = _ladder(dataset, "crossmodal", left, right, None)
        yield Place(index, ladder, left.model, size, flipped=False)
    elif kind == "crosskind" and left.family != right.family:
        for varies, stays in ((left, right), (right, left)):
            ladder = _ladder(dataset, "crosskind", varies, stays, stays.model)
            yield Place(index, ladder, varies.model, varies.parameters, flipped=varies is right)


def _ladder(dataset: str, kind: LadderKind, left: Side, right: Side, against: str | None) -> LadderName:
    return LadderName(
        dataset=dataset,
        kind=kind,
        left_modality=left.modality,
        right_modality=right.modality,
        against=against,
        left_published=left.published,
        right_published=right.published,
        family=left.family,
    )
