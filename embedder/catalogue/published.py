"""What columns of published vectors are called, and which model and modality each is of. Imports the row tables only.

A published table has a column for each model, `<family>_<size>_<modality>`. Such a name is never taken apart, since its
parts may hold the underscore too: every name that the catalogue could give is built, and one of them is it, or none.
Names are compared whole, without regard to case, and with `-`, `.` and `_` alike.

How the field spells families and sizes stands in the rows of the models (`published_as`): as in the columns of
`UniverseTBD/sdss_hsc_embeddings` at 10b6741 (`convnext_nano_hsc`, `dino_small_hsc`, `astropt_15m_hsc`,
`specformer_base_sdss`), and as the code of arXiv 2509.19453 writes them: alias, size without leading noughts, modality.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from embedder.catalogue.datasets import known_datasets
from embedder.catalogue.models import known_models
from embedder.catalogue.rows import FINAL, ModelRow
from shared.errors import BadTable
from shared.modalities import GIVEN, Kind

_BLOCK = "_block_"
_FOLDED = str.maketrans("-.", "__")
_MOST_NEAR, _NEAR, _LONGEST = 3, 0.75, 128
# Seen by no dataset of the catalogue, and published as vectors.
_OTHER_MODALITIES: Mapping[str, frozenset[Kind]] = MappingProxyType({"sdss": frozenset({"spectrum"})})


class Meaning(NamedTuple):
    """What a column of vectors is of: a model, at a layer, shown a modality."""

    model: str
    modality: str
    layer: str = FINAL

    def __str__(self) -> str:
        """As people read it: `dinov2-small of hsc`."""
        return f"{self.model}{'' if self.layer == FINAL else '/' + self.layer} of {self.modality}"


class Recognised(NamedTuple):
    """Columns that are known, in their order; and each other one, with why it is not, where there is more to say."""

    known: dict[str, Meaning]
    unknown: dict[str, str]


def fold(name: str) -> str:
    """A name as names are compared: in small letters, `-` and `.` as `_`."""
    return name.lower().translate(_FOLDED)


def name_column(row: ModelRow, modality: str, layer: str = FINAL) -> str:
    """The column of a model's vectors in a table to be published: `dino_small_hsc`, `vit_base_hsc_block_03`.

    The first of the model's spellings that no other model has.
    """
    others = {
        fold(spelling) for other in known_models().values() if other.name != row.name for spelling in other.spellings
    }
    spelling = next((one for one in map(fold, row.spellings) if one not in others), fold(row.name))
    return _join(spelling, modality, layer)


def known_modalities(dataset: str, others: Iterable[str] = ()) -> dict[str, frozenset[Kind]]:
    """Modalities that columns may be of, each with the kinds it may be; none for one of `others` that nobody knows.

    A dataset of the catalogue that is called `dataset` says what its own are; of the rest, any dataset does.
    """
    kinds: dict[str, frozenset[Kind]] = dict(_OTHER_MODALITIES)
    for row in known_datasets().values():
        for modality in row.modalities:
            kinds[modality.name] = kinds.get(modality.name, frozenset()) | {modality.kind}
    own = known_datasets().get(dataset)
    kinds |= {modality.name: frozenset({modality.kind}) for modality in own.modalities} if own else {}
    return kinds | {name: frozenset() for name in others if name not in kinds}


def recognise(columns: Sequence[str], modalities: Mapping[str, frozenset[Kind]]) -> Recognised:
    """What each column is of, by the catalogue. modalities: as `known_modalities` gives them.

    A model of images is not taken to have seen spectra: the code of arXiv 2509.19453 writes such columns, and copies
    the vectors of Specformer into them. Raises BadTable, naming both, for a column that may be either of two, and for
    two columns of one model and modality.
    """
    table: dict[str, set[Meaning]] = {}
    misfits: dict[str, str] = {}
    deep = any(_BLOCK in fold(column) for column in columns)
    for name, row, meaning in _names(modalities, blocks=deep):
        kinds = modalities[meaning.modality]
        if kinds and row.takes not in kinds:
            seen = " or ".join(sorted(kinds))
            misfits[name] = f"{row.name} takes {row.takes} data, and {meaning.modality} is {seen} data"
        else:
            table.setdefault(name, set()).add(meaning)
    known: dict[str, Meaning] = {}
    unknown: dict[str, str] = {}
    for column in columns:
        found = sorted(table.get(fold(column), ()))
        if len(found) > 1:
            raise BadTable(
                f"column {column!r:.140} may be {' or '.join(map(str, found))}",
                "a column that is of one model and one modality",
                "say which under `embeddings`",
            )
        if found:
            known[column] = found[0]
        else:
            unknown[column] = misfits.get(fold(column), "")
    check_each_once(known)
    return Recognised(known, unknown)


def find_near(columns: Iterable[str], modalities: Iterable[str]) -> dict[str, list[str]]:
    """Of each column, the names that the catalogue could give which are nearest to its own; none where none is near."""
    names = sorted({name for name, _, _ in _names(modalities, blocks=False)})
    return {column: difflib.get_close_matches(fold(column[:_LONGEST]), names, _MOST_NEAR, _NEAR) for column in columns}


def check_each_once(known: Mapping[str, Meaning]) -> None:
    """Raise BadTable, naming both, for two columns of one model, modality and layer."""
    first: dict[Meaning, str] = {}
    for column, meaning in known.items():
        if meaning in first:
            raise BadTable(
                f"columns {first[meaning]!r:.140} and {column!r:.140} are both {meaning}",
                "one column for each model and modality",
                "leave one out under `embeddings`",
            )
        first[meaning] = column


def _names(modalities: Iterable[str], *, blocks: bool) -> Iterator[tuple[str, ModelRow, Meaning]]:
    """Every name that the catalogue could give a column, with what it would be of; of blocks, if any is asked after."""
    rows = [row for row in known_models().values() if row.takes not in GIVEN or row.listed]
    for modality in modalities:
        for row in rows:
            for spelling in dict.fromkeys(map(fold, row.spellings)):
                for layer in row.layers if blocks else (FINAL,):
                    yield _join(spelling, modality, layer), row, Meaning(row.name, modality, layer)


def _join(spelling: str, modality: str, layer: str) -> str:
    return fold("_".join((spelling, modality, *(() if layer == FINAL else (layer,)))))
