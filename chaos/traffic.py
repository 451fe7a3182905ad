"""What the proxy's log says of the work: what was made, how often, and by how many writers. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from chaos.proxy import Entry
from services.dispatch import part_step_id
from shared import keys


def made_parts(entries: Iterable[Entry]) -> dict[str, list[float]]:
    """When each part was stored whole, once for each time: by `<embedding digest>:<part>`, as steps are named."""
    made: dict[str, list[float]] = defaultdict(list)
    seen: set[str] = set()
    for entry in entries:
        index = keys.receipt_index(entry.key) if _stored(entry) else None
        if index is not None and entry.key not in seen:
            seen.add(entry.key)  # a receipt that was sent again, its answer lost, is one making
            prefix = keys.embedding_prefix_of(entry.key)
            made[part_step_id(keys.embedding_digest(prefix or ""), index)].append(entry.at)
    return made


def made_scores(entries: Iterable[Entry]) -> dict[str, list[float]]:
    """When each score's record was stored, by the score's digest."""
    made: dict[str, list[float]] = defaultdict(list)
    for entry in entries:
        if _stored(entry) and entry.key.startswith(keys.SCORES) and keys.is_score(entry.key):
            made[keys.score_digest(entry.key)].append(entry.at)
    return made


def rival_writers(entries: Sequence[Entry]) -> dict[str, set[str]]:
    """Manifests and scores that the server took in more than one version: SHA-256s by key.

    What was bent on the way is no writer's version, and is left out.
    """
    versions: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        result = keys.is_manifest(entry.key) or (entry.key.startswith(keys.SCORES) and keys.is_score(entry.key))
        if _stored(entry) and result and entry.sent == entry.taken:
            versions[entry.key].add(entry.taken)
    return {key: found for key, found in versions.items() if len(found) > 1}


def _stored(entry: Entry) -> bool:
    return entry.operation == "PUT" and entry.accepted
