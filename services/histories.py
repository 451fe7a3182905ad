"""What happened to a job or a pair, from its first message to its end: every change of state, with time and worker.

The history of finished steps lies in the object store, in receipts, scores and endings; that of steps under way, on
the board, and is lost with it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from services.board import Board
from services.dispatch import part_step_id, plan_step_id
from shared import keys
from shared.contracts import EmbeddingSpec, ScoreSpec
from shared.embeddings import read_manifest, read_receipts
from shared.endings import read_endings
from shared.errors import BadRecord, BrokerUnavailable
from shared.outcomes import ScoreRecord, Transition
from shared.records import read_record
from shared.store import ObjectStore

_log = logging.getLogger(__name__)


def job_history(store: ObjectStore, board: Board, spec: EmbeddingSpec, study_id: str) -> list[Transition]:
    """All that happened to a job, and to the study that asks, oldest first."""
    try:
        manifest = read_manifest(store, spec)
    except BadRecord as error:
        _log.warning("%s", error)
        manifest = None
    parts = manifest.parts if manifest else tuple(read_receipts(store, spec).values())
    stored = {part.index for part in parts}
    steps = [part_step_id(spec.digest, index) for index in range(spec.parts()) if index not in stored]
    found = [transition for part in parts for transition in part.history]
    found += _ended(store, keys.work_endings(spec.dataset.name), spec.digest)
    found += _ended(store, keys.study_endings(), study_id)
    return _in_order([*found, *_under_way(board, steps)])


def pair_history(store: ObjectStore, board: Board, spec: ScoreSpec, study_id: str) -> list[Transition]:
    """All that happened to a pair, and to the study that asks, oldest first."""
    record = read_record(store, keys.score(spec), ScoreRecord)
    found = list(record.history) if record else _under_way(board, [spec.digest, plan_step_id(spec)])
    found += _ended(store, keys.work_endings(spec.pair.left.dataset.name), spec.digest)
    return _in_order([*found, *_ended(store, keys.study_endings(), study_id)])


def _ended(store: ObjectStore, prefix: str, work: str) -> list[Transition]:
    found: list[Transition] = []
    for ending in read_endings(store, prefix, work):
        asked = Transition(state=ending.state, at=ending.at, worker=ending.worker, why="asked for")
        found += ending.history or (asked,)
    return found


def _under_way(board: Board, steps: list[str]) -> list[Transition]:
    try:
        return [transition for history in board.histories(steps) for transition in history]
    except BrokerUnavailable as error:
        _log.warning("%s; the history of what is under way is not told", error)
        return []


def _in_order(transitions: Iterable[Transition]) -> list[Transition]:
    unique = {transition.model_dump_json(): transition for transition in transitions}
    return sorted(unique.values(), key=lambda transition: transition.at)
