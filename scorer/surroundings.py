"""With what, and where, the records of a study were made; how two such differ, in words, and what that may change.

Imports `shared` only. What records of others say is told on one line, without control characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from shared.errors import one_line
from shared.outcomes import Manifest, ScoreRecord


@dataclass(slots=True)
class Surroundings:
    """With what, and where, the records of a run were made."""

    packages: dict[str, set[str]] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)
    threads: set[str] = field(default_factory=set)
    machines: set[str] = field(default_factory=set)

    def note_embedding(self, manifest: Manifest) -> None:
        """Add those of an embedding."""
        self._note_packages(manifest.packages)
        self.devices.add(manifest.device)
        self.machines |= {part.worker.rpartition(":")[0] for part in manifest.parts}

    def note_score(self, record: ScoreRecord) -> None:
        """Add those of a score."""
        self._note_packages(record.provenance.packages)
        self.threads.add(str(record.provenance.threads))
        self.machines.add(record.provenance.worker.rpartition(":")[0])

    def _note_packages(self, packages: Mapping[str, str]) -> None:
        for name, versions in packages.items():
            self.packages.setdefault(name, set()).update(versions.split(", "))

    def differences(self, now: Surroundings) -> Iterator[str]:
        """What differs, one line each, with what it may change."""
        for name in sorted(self.packages.keys() & now.packages.keys()):
            yield from _difference(name, self.packages[name], now.packages[name], _MAY_CHANGE.get(name, ""))
        rounding = "sums may be rounded otherwise"
        yield from _difference("device", self.devices, now.devices, rounding)
        yield from _difference("threads of a scorer", self.threads, now.threads, rounding)
        yield from _difference("machine", self.machines, now.machines, "")


_MAY_CHANGE = {
    "numpy": "NumPy may change its random streams between releases, and with them p-values, thresholds and intervals",
    "pyarrow": "Parquet names its writer, so that parts have other bytes with the same vectors",
    "faiss-cpu": "neighbours at equal distance may come in another order",
    "torch": "vectors may be rounded otherwise",
}


def _difference(what: str, then: set[str], now: set[str], may_change: str) -> Iterator[str]:
    if then and now and then != now:
        told = f"{what} {_listed(then)} then, {_listed(now)} now"
        yield f"{told}: {may_change}" if may_change else told


def _listed(names: set[str]) -> str:
    return one_line(", ".join(sorted(names)))
