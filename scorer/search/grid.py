"""How a large search is cut into steps, and which of them are missing. Pure: numbers and names.

Imports the standard library only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

PRODUCTS = 3_000_000_000_000
"""Products of two numbers in one step, unless set otherwise: about a minute of one core."""
STEP_BYTES = 3 << 30
"""What one step takes at most beyond the interpreter and numbers of all objects, for which 1 GiB is left of four."""
_AT_ONCE = 4096  # queries that a search looks at together


class Step(NamedTuple):
    """One step of a search: a tile (query block, candidate block), a strip (query block), or else the table."""

    query: int | None = None
    candidates: int | None = None

    @property
    def name(self) -> str:
        """Its name in keys and ids: `tile-00003-00001`, `strip-00003`, `table`."""
        if self.query is None:
            return "table"
        return f"strip-{self.query:05d}" if self.candidates is None else f"tile-{self.query:05d}-{self.candidates:05d}"

    @property
    def kind(self) -> str:
        """`tile`, `strip` or `table`."""
        return self.name.partition("-")[0]

    @property
    def label(self) -> str:
        """Its name for people."""
        return self.name.replace("-", " ")

    @classmethod
    def parse(cls, name: str) -> Step | None:
        """The step of this name, or None when it is none's."""
        found = re.fullmatch(r"table|strip-(\d{5,9})|tile-(\d{5,9})-(\d{5,9})", name)
        if not found:
            return None
        strip, query, candidates = (None if text is None else int(text) for text in found.groups())
        step = cls(query if strip is None else strip, candidates)
        return step if step.name == name else None


TABLE = Step()


@dataclass(frozen=True, slots=True)
class Grid:
    """`objects` rows in blocks of `block` rows; the last may hold fewer."""

    objects: int
    block: int

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-self.objects // self.block)

    def rows(self, index: int) -> slice:
        """The rows of one block."""
        return slice(index * self.block, min((index + 1) * self.block, self.objects))

    def queries(self, step: Step) -> slice:
        """The rows for which a step finds neighbours: those of its block; for the table, all."""
        return slice(0, self.objects) if step.query is None else self.rows(step.query)

    def holds(self, step: Step) -> bool:
        """Whether it is a step of a search that is cut so."""
        return all(index is None or 0 <= index < self.blocks for index in step)

    def tiles(self, query: int) -> list[Step]:
        """The tiles of one block of queries."""
        return [Step(query, candidates) for candidates in range(self.blocks)]

    def steps(self) -> Iterator[Step]:
        """All steps."""
        for query in range(self.blocks):
            yield from (*self.tiles(query), Step(query))
        yield TABLE

    def missing(self, done: Collection[Step]) -> Iterator[Step]:
        """The steps that can be done now, given those that are done; strips first, since they make tiles needless."""
        strips = [Step(query) for query in range(self.blocks)]
        lacking = {
            strip: [tile for tile in self.tiles(query) if tile not in done]
            for query, strip in enumerate(strips)
            if strip not in done
        }
        if not lacking:
            yield TABLE
        yield from (strip for strip, tiles in lacking.items() if not tiles)
        for tiles in lacking.values():
            yield from tiles


def cut(objects: int, dimension: int, k: int, products: int = PRODUCTS) -> Grid:
    """How a search for k neighbours of `objects` vectors of `dimension` numbers is cut.

    A tile has at most `products` products, and takes at most STEP_BYTES; where one row by one row is more, it is that.
    A search that is cut into one block needs no cutting.
    """
    most = max(1, min(math.isqrt(products // dimension), STEP_BYTES // step_bytes(1, dimension, k), objects))
    blocks = -(-objects // most) if objects else 1
    return Grid(objects, max(1, -(-objects // blocks)))


@lru_cache(maxsize=1024)
def is_large(objects: int, dimension: int, k: int, products: int = PRODUCTS) -> bool:
    """Whether a search has neighbours to find, and is too large for one step."""
    return k < objects and cut(objects, dimension, k, products).blocks > 1


def step_bytes(block: int, dimension: int, k: int) -> int:
    """Bytes that a tile of `block` by `block` rows takes at most, besides what does not grow with it.

    Queries and candidates in float32, as read and at length one: 4 arrays. For each query its k nearest, similarity and
    row in 16 bytes, as found, as told, and as written; a strip holds them of the best so far, of one tile, and of both
    with their order. And what is looked at for some queries at once: at most an eighth of the block, 32 bytes each.
    """
    vectors, found, looked_at = 4 * 4 * dimension, 5 * 16 * k, _AT_ONCE * 32 // 8
    return block * (vectors + found + looked_at)
