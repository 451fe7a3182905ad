"""Models and datasets of other packages, found by entry point: no line of ours is changed for them.

A package that adds some has an entry point in the group `samesky.extensions`, which names an `Extension`. Its rows
join the tables of the catalogue. What they need is named as `package.module:object`, and imported when it is met, so
that the api lists a model without loading it. Imports the row types only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Annotated, Any, Generic, TypeVar

from pydantic import Field

from embedder.catalogue.rows import DatasetRow, ModelRow
from shared.contract import Contract
from shared.errors import BadExtension, SameSkyError, UnknownName, one_line
from shared.names import Name

GROUP = "samesky.extensions"
# What the code of somebody else may raise when it is imported. Another error is a fault to be seen whole.
_FAULTS = (ImportError, AttributeError, NameError, SyntaxError, TypeError, ValueError, SameSkyError)
Row = TypeVar("Row", ModelRow, DatasetRow)
T = TypeVar("T")
Reference = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]


class Extension(Contract):
    """What a package adds.

    models, datasets: rows of the catalogue. The others are named as `package.module:object`, by the name that rows and
    modalities give them. adapters: functions `(ModelRef, Dtype, Settings) -> Adapter` of `embedder.adapters.base`.
    sources: each an `embedder.sources.kinds.SourceKind`. recipes: each an `embedder.recipes.Recipe`.
    """

    models: tuple[ModelRow, ...] = ()
    datasets: tuple[DatasetRow, ...] = ()
    adapters: dict[Name, Reference] = {}
    sources: dict[Name, Reference] = {}
    recipes: dict[Name, Reference] = {}


@lru_cache(maxsize=1)
def extensions() -> Mapping[str, Extension]:
    """The extensions of all installed packages, by the name of their entry point. Raises BadExtension."""
    found: dict[str, Extension] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if point.name in found:
            raise BadExtension(f"two packages have an extension {point.name}", "one", "uninstall one of them")
        package = point.dist.name if point.dist else "a package"
        extension = _load(point, f"extension {point.name} of {package}", f"mend {package}, or uninstall it")
        if not isinstance(extension, Extension):
            raise BadExtension(
                f"extension {point.name} of {package} is a {type(extension).__name__}",
                "an embedder.extensions.Extension",
                f"mend {package}, or uninstall it",
            )
        found[point.name] = extension
    return MappingProxyType(found)


def _load(point: EntryPoint, what: str, remedy: str) -> Any:
    try:
        return point.load()
    except _FAULTS as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise BadExtension(f"{what} cannot be loaded: {reason}", f"{point.value} to be there", remedy) from error


def with_rows(own: Iterable[Row], choose: Callable[[Extension], Iterable[Row]]) -> Mapping[str, Row]:
    """Our own rows and those of all extensions, by name. Raises BadExtension for a name that is taken."""
    rows = {row.name: row for row in own}
    for name, extension in extensions().items():
        for row in choose(extension):
            if row.name in rows:
                raise _taken(name, row.name)
            rows[row.name] = row
    return MappingProxyType(rows)


def _taken(extension: str, name: str) -> BadExtension:
    return BadExtension(f"extension {extension} adds {name}, which is there already", "a name of its own", "rename it")


class Registry(Generic[T]):
    """What is found by name: our own, and what extensions add. kind: what it is, for errors."""

    def __init__(self, kind: str, own: Mapping[str, T], choose: Callable[[Extension], Mapping[str, str]]) -> None:
        self._kind, self._own, self._choose = kind, own, choose

    def find(self, name: str) -> T:
        """What has that name, imported if need be. Raises UnknownName, with near names, and BadExtension."""
        if name in self._own:
            return self._own[name]
        added = self._added()
        if name not in added:
            raise UnknownName.of(self._kind, name, self.names())
        found: T = _load(EntryPoint(name, added[name], GROUP), f"{self._kind} {name}", "mend the package it is of")
        return found

    def names(self) -> frozenset[str]:
        """All names. Raises BadExtension."""
        return frozenset(self._own) | frozenset(self._added())

    def _added(self) -> Mapping[str, str]:
        added: dict[str, str] = {}
        for extension, each in extensions().items():
            for name, reference in self._choose(each).items():
                if name in self._own or name in added:
                    raise _taken(extension, name)
                added[name] = reference
        return added
