"""What failed, or was cancelled, is taken up again, though another process saw it end."""

from __future__ import annotations

from collections.abc import Callable

from services.board import Board
from services.ledger import Ledger
from services.reopening import Reopening, ending_of
from shared import keys
from shared.contracts import Study
from shared.endings import add_ending
from shared.outcomes import Ending, Failure
from shared.states import State
from shared.store import MemoryStore

MakeStudy = Callable[..., Study]


def test_what_another_process_ended_a_moment_ago_is_taken_up(
    store: MemoryStore, ledger: Ledger, board: Board, make_study: MakeStudy
) -> None:
    study = make_study()
    spec = study.embeddings[0]
    assert not ledger.cancelled(study.id)  # looked at, and remembered for a second
    assert ledger.embedding_failure(spec) is None
    add_ending(store, keys.study_endings(), ending_of(study.id, "", State.CANCELLED))
    failure = Failure(work=spec.digest, label=spec.label, code="stopped", wrong="w", attempts=3, worker="w", at="now")
    ended = Ending(subject=spec.digest, label=spec.label, state=State.FAILED, at="now", worker="w", failure=failure)
    add_ending(store, keys.work_endings(spec.dataset.name), ended)
    assert Reopening(store, ledger, board).reopen(study) == 1
    assert not ledger.cancelled(study.id)
    assert ledger.embedding_failure(spec) is None
