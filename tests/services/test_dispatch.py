"""What is released: what is wanted, missing and ready, once, and no more than a queue may hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from redis import Redis

from services.board import Board
from services.broker import EMBED, PRIORITIES, SCORE, Sender, queue_lists
from services.dispatch import Dispatcher, part_step, part_step_id
from services.leases import manifest_step_id
from services.ledger import Ledger
from services.reconciler import Reconciler
from services.reopening import ending_of
from shared import keys
from shared.contracts import EmbeddingSpec, Scoring, Study
from shared.embeddings import commit_manifest, read_receipts, store_part
from shared.endings import add_ending
from shared.outcomes import Attempt, Ending, Failure
from shared.planning import expand
from shared.states import State
from shared.store import MemoryStore
from shared.vectors import Vectors

MakeStudy = Callable[..., Study]


def store_parts(store: MemoryStore, spec: EmbeddingSpec, *indices: int) -> None:
    for index in indices:
        start, stop = spec.part_range(index)
        rng = np.random.default_rng([7, index])
        vectors = Vectors(
            tuple(f"g{row}" for row in range(start, stop)), rng.normal(size=(stop - start, 4)).astype(np.float32)
        )
        store_part(
            store,
            spec,
            Attempt(name="attempt", worker="test"),
            index,
            vectors,
            dropped={},
            repaired={},
            seconds=1.0,
            at="2026-01-01T00:00:00.000+00:00",
            device="cpu",
            packages={"numpy": "2"},
        )


def finish(store: MemoryStore, spec: EmbeddingSpec) -> None:
    store_parts(store, spec, *range(spec.parts()))
    receipts = read_receipts(store, spec)
    commit_manifest(store, spec, receipts)


def test_missing_parts_are_sent_once(dispatcher: Dispatcher, board: Board, make_study: MakeStudy) -> None:
    study = make_study()
    assert dispatcher.release([study]) == 6
    assert dispatcher.release([study]) == 0
    expected = {part_step_id(spec.digest, i) for spec in study.embeddings for i in range(3)}
    assert set(board.queued(EMBED)) == expected
    assert board.queued(SCORE) == []


def test_what_runs_is_not_sent(dispatcher: Dispatcher, board: Board, make_study: MakeStudy) -> None:
    study = make_study()
    with board.leases.lease(part_step_id(study.embeddings[0].digest, 1), "us"):
        assert dispatcher.release([study]) == 5


def test_stored_parts_are_not_made_again(
    dispatcher: Dispatcher, board: Board, store: MemoryStore, make_study: MakeStudy
) -> None:
    study = make_study()
    spec = study.embeddings[0]
    store_parts(store, spec, 0, 2)
    dispatcher.release([study])
    assert [step for step in board.queued(EMBED) if step.startswith(spec.digest)] == [part_step_id(spec.digest, 1)]
    assert board.rows_done([spec.digest])[0].rows == 16 + 8


def test_all_parts_without_a_manifest_are_finished_by_one_step(
    dispatcher: Dispatcher, board: Board, store: MemoryStore, make_study: MakeStudy
) -> None:
    study = make_study()
    spec = study.embeddings[0]
    store_parts(store, spec, 0, 1, 2)
    dispatcher.release([study])
    assert [step for step in board.queued(EMBED) if step.startswith(spec.digest)] == [part_step_id(spec.digest, 2)]


def test_a_score_is_sent_when_both_embeddings_are_whole(
    dispatcher: Dispatcher, board: Board, store: MemoryStore, make_study: MakeStudy
) -> None:
    study = make_study()
    finish(store, study.embeddings[0])
    dispatcher.release([study])
    assert board.queued(SCORE) == []
    finish(store, study.embeddings[1])
    dispatcher.release([study])
    assert board.queued(SCORE) == [study.scores()[0].digest]


def test_a_small_study_is_not_starved_by_a_huge_one(
    dispatcher: Dispatcher, board: Board, make_study: MakeStudy
) -> None:
    huge, small = make_study(rows=16_000), make_study(rows=40, seed=1)
    assert dispatcher.release([huge, small]) == 8
    assert sum(step.startswith(small.embeddings[0].digest) for step in board.queued(EMBED)) == 3


def test_steps_that_became_the_first_while_they_waited_are_moved_ahead(
    dispatcher: Dispatcher, board: Board, store: MemoryStore, redis: Redis, make_study: MakeStudy
) -> None:
    study = make_study(rows=160, part_rows=16)
    spec = study.embeddings[0]
    dispatcher.release([study])
    assert [redis.llen(place) for place in queue_lists(EMBED)] == [2, 6, 0, 0]
    redis.delete(queue_lists(EMBED)[0])  # its first two were taken, and done
    store_parts(store, spec, 0, 1)
    assert dispatcher.release([study]) == 2
    waiting = board.waiting_steps(EMBED)
    assert [waiting[part_step_id(spec.digest, index)].priority for index in range(2, 8)] == [0, 0, 3, 3, 3, 3]
    assert sum(redis.llen(place) for place in queue_lists(EMBED)) == len(waiting) == 8


def test_work_that_is_being_declared_whole_is_left_alone(
    dispatcher: Dispatcher, board: Board, store: MemoryStore, make_study: MakeStudy
) -> None:
    study = make_study()
    for spec in study.embeddings:
        store_parts(store, spec, 0, 1, 2)
    with board.leases.lease(manifest_step_id(study.embeddings[0].digest), "a worker"):
        assert dispatcher.release([study]) == 1
    assert dispatcher.release([study]) == 1


def test_a_cancellation_that_crossed_with_a_look_is_made_good(
    dispatcher: Dispatcher, board: Board, ledger: Ledger, store: MemoryStore, make_study: MakeStudy
) -> None:
    study, other = make_study(models=2), make_study()
    for each in (study, other):
        store.put(keys.study(each.id), each.to_json())
    add_ending(store, keys.study_endings(), ending_of(study.id, "", State.CANCELLED))
    reconciler = Reconciler(ledger, board, dispatcher)
    reconciler.look()
    marks = {spec.digest: board.cancelled(spec.digest) for spec in study.embeddings}
    assert marks == {digest: digest not in {spec.digest for spec in other.embeddings} for digest in marks}
    add_ending(store, keys.study_endings(), ending_of(study.id, "", State.QUEUED))
    reconciler.look()
    assert not any(board.cancelled(spec.digest) for spec in study.embeddings)


def test_a_stray_file_among_the_studies_stops_nothing(
    dispatcher: Dispatcher, board: Board, ledger: Ledger, store: MemoryStore, make_study: MakeStudy
) -> None:
    study = make_study()
    store.put(keys.study(study.id), study.to_json())
    store.put("studies/notes.txt", b"somebody's")
    assert Reconciler(ledger, board, dispatcher).look() == 6


def test_what_failed_is_not_sent_and_fails_its_pairs(
    dispatcher: Dispatcher, board: Board, ledger: Ledger, store: MemoryStore, make_study: MakeStudy
) -> None:
    study = make_study()
    spec = study.embeddings[0]
    failure = Failure(work=spec.digest, label=spec.label, code="bad-table", wrong="w", attempts=1, worker="w", at="now")
    ending = Ending(subject=spec.digest, label=spec.label, state=State.FAILED, at="now", worker="w", failure=failure)
    add_ending(store, keys.work_endings(spec.dataset.name), ending)
    assert dispatcher.release([study]) == 3
    pair_failure = ledger.pair_failures(study, set()).get(study.scores()[0].digest)
    assert pair_failure is not None
    assert spec.label in pair_failure.wrong


def test_a_wiped_redis_is_filled_again(
    dispatcher: Dispatcher, board: Board, ledger: Ledger, store: MemoryStore, make_study: MakeStudy
) -> None:
    study = make_study()
    store.put_if_absent(keys.study(study.id), study.to_json())
    store_parts(store, study.embeddings[0], 0)
    reconciler = Reconciler(ledger, board, dispatcher)
    assert reconciler.look() == 5
    assert reconciler.look() == 0
    board._redis.flushall()
    assert reconciler.look() == 5
    assert board.wanted_by(study.embeddings[0].digest) == [study.id]


def test_a_complete_study_is_left_alone(
    dispatcher: Dispatcher, board: Board, ledger: Ledger, store: MemoryStore, make_study: MakeStudy
) -> None:
    study = make_study()
    store.put_if_absent(keys.study(study.id), study.to_json())
    for spec in study.embeddings:
        finish(store, spec)
    for score in study.scores():
        store.put(keys.score(score), b"{}")
    assert Reconciler(ledger, board, dispatcher).look() == 0
    assert board.queued(EMBED) == board.queued(SCORE) == []


def test_a_study_that_cannot_be_read_does_not_stop_the_others(
    dispatcher: Dispatcher, board: Board, ledger: Ledger, store: MemoryStore, make_study: MakeStudy
) -> None:
    study = make_study()
    store.put(keys.study("0" * 32), b"{half")
    store.put_if_absent(keys.study(study.id), study.to_json())
    assert Reconciler(ledger, board, dispatcher).look() == 6


def test_an_unreadable_manifest_fails_its_job_and_stops_nothing_else(
    dispatcher: Dispatcher, board: Board, ledger: Ledger, store: MemoryStore, make_study: MakeStudy
) -> None:
    study = make_study()
    spec = study.embeddings[0]
    store.put_if_absent(keys.study(study.id), study.to_json())
    store.put(keys.manifest(spec), b"")
    assert Reconciler(ledger, board, dispatcher).look() == 3
    failure = ledger.embedding_failure(spec)
    assert failure is not None
    assert failure.code == "bad-record"


def test_what_rests_after_an_error_is_sent_later(dispatcher: Dispatcher, board: Board, make_study: MakeStudy) -> None:
    study = make_study()
    step = part_step_id(study.embeddings[0].digest, 0)
    board.rest(step, 60)
    assert dispatcher.release([study]) == 5
    board.forget([step])
    assert dispatcher.release([study]) == 1


def test_the_first_steps_of_a_study_find_room_once_and_not_at_every_call(
    dispatcher: Dispatcher, board: Board, store: MemoryStore, make_study: MakeStudy
) -> None:
    huge = make_study(rows=16_000)
    assert dispatcher.release([huge]) == 8
    waiting = board.queued_for(EMBED, huge.id)
    assert waiting == 8
    for _ in range(3):  # as when one embedding after the other is announced
        more = (part_step(huge.embeddings[1], index, huge.id) for index in range(500))
        assert dispatcher.send([more], after=waiting) == 0
    assert board.waiting(EMBED) == 8


def test_a_look_at_a_study_asks_for_each_embedding_once(make_study: MakeStudy) -> None:
    asked: list[str] = []

    class Counting(MemoryStore):
        def get(self, key: str) -> bytes:
            asked.append(key)
            return super().get(key)

    base = make_study().embeddings[0]
    modalities = [base.modality.model_copy(update={"name": f"m{number}"}) for number in range(12)]
    study = expand([(base.dataset, modalities)], [base.model], ["all"], Scoring(k=5), created_at="now")
    assert len(study.pairs) == 66
    ledger = Ledger(Counting())
    assert ledger.pair_failures(study, set()) == {}
    assert ledger.whole_of(study) == set()
    assert sorted(asked) == sorted(2 * [keys.manifest(spec) for spec in study.embeddings])


def test_a_small_study_finds_room_beside_hundreds_of_pairs(
    board: Board, ledger: Ledger, store: MemoryStore, sender: Sender, make_study: MakeStudy
) -> None:
    base, small = make_study(models=2, rows=12).embeddings, make_study(rows=12, seed=1)
    modalities = [base[0].modality.model_copy(update={"name": f"m{number}"}) for number in range(20)]
    models = list({spec.model.name: spec.model for spec in base}.values())
    huge = expand([(base[0].dataset, modalities)], models, ["all"], Scoring(), created_at="now")
    assert len(huge.pairs) == 40 * 39 // 2
    for study in (huge, small):
        store.put_if_absent(keys.study(study.id), study.to_json())
        for spec in study.embeddings:
            finish(store, spec)
    dispatcher = Dispatcher(ledger, board, sender, limit=64)
    assert dispatcher.release([huge]) == 64
    reconciler = Reconciler(ledger, board, dispatcher)
    assert reconciler.look() == 1
    assert board.waiting(SCORE) == 65
    priorities = {
        message["headers"]["id"]: message["properties"]["priority"] for message in board.queued_messages(SCORE)
    }
    assert priorities[small.scores()[0].digest] == PRIORITIES[0]
    assert sorted(priorities.values()) == [0] * 3 + [3] * 6 + [6] * 24 + [9] * 32
    assert reconciler.look() == 0
