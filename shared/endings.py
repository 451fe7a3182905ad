"""How work ended without a result, and was asked for again: a short list of records for each job, pair and study.

Records are added, never changed or removed, so the list is the history; its last record, whose state stands in
its key, says what holds now. One listing tells the states of all work of a dataset. A manifest or a score, where
there is one, comes before any ending. Imports the contracts and keys only.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared import keys
from shared.outcomes import Ending
from shared.records import read_record
from shared.states import State
from shared.store import ObjectStore


def list_endings(store: ObjectStore, prefix: str) -> Mapping[str, str]:
    """The key of the last ending of each subject. prefix: of `keys.work_endings` or `keys.study_endings`."""
    return {keys.read_ending(key)[0]: key for key in store.keys(prefix) if keys.is_ending(key)}


def list_endings_of(store: ObjectStore, prefix: str, subject: str) -> list[str]:
    """The keys of all endings of one job, score or study, oldest first."""
    return [key for key in store.keys(f"{prefix}{subject}/") if keys.is_ending(key)]


def state_at(key: str) -> State:
    """The state that the ending kept at `key` brought about."""
    return State(keys.read_ending(key)[2])


def has_failed(store: ObjectStore, prefix: str, subject: str) -> bool:
    """Whether a job or score has failed, and was not asked for again."""
    earlier = list_endings_of(store, prefix, subject)
    return bool(earlier) and state_at(earlier[-1]) is State.FAILED


def add_ending(store: ObjectStore, prefix: str, ending: Ending) -> bool:
    """Add `ending` to its subject's list; False when the list ends in that state already, and is left as it is."""
    earlier = list_endings_of(store, prefix, ending.subject)
    if earlier and state_at(earlier[-1]) is ending.state:
        return False
    number = keys.read_ending(earlier[-1])[1] + 1 if earlier else 0
    return store.put_if_absent(keys.ending(prefix, ending.subject, number, ending.state), ending.to_json())


def read_endings(store: ObjectStore, prefix: str, subject: str) -> list[Ending]:
    """All endings of one job, score or study, oldest first. Raises BadRecord."""
    found = (read_record(store, key, Ending) for key in list_endings_of(store, prefix, subject))
    return [ending for ending in found if ending]
