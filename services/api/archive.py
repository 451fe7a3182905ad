"""A study as one file, which another installation can verify and run again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from services.api.endpoint import Endpoint
from services.studies import Studies
from shared.archive import MEDIA

_PIECE_BYTES = 1 << 17


class ArchiveQuery(BaseModel):
    """What goes in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vectors: bool = Field(default=False, description="the embeddings' vectors too, so that it can be scored anew")


def export_study(studies: Studies, study: str, query: ArchiveQuery) -> Response:
    """The archive of a study as it stands, made as it is sent: what is missing in it is said in its index."""
    found = studies.find(study)
    pieces = _cut(studies.archive(found, vectors=query.vectors))
    first = next(pieces)  # what does not answer now is said before the answer begins
    response = Response(chain([first], pieces), mimetype=MEDIA)
    response.headers["Content-Disposition"] = f'attachment; filename="samesky-{found.id}.zip"'
    return response


def _cut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in small pieces: a client has SAMESKY_CLIENT_SECONDS to take each of them."""
    for piece in pieces:
        for start in range(0, len(piece), _PIECE_BYTES):
            yield piece[start : start + _PIECE_BYTES]


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/studies/<study>/archive",
        export_study,
        "All of it as one file: request, manifests, scores, versions; `samesky verify` checks it",
        query=ArchiveQuery,
        media=(MEDIA,),
        errors=(404,),
    ),
)
