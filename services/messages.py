"""What the queues carry, and the one door through which a worker reads it.

A message is JSON, made by our own dispatcher, but whoever reaches Redis can put one there. What does not follow its
contract is a `BadInput`: it would fail the same way again, so a worker says so, and is done with it.
"""

from __future__ import annotations

from typing import Self, TypeVar

from pydantic import Field, model_validator

from scorer.search.grid import Step
from scorer.search.records import Search
from services.field_errors import InvalidFields, validate
from shared.contract import Contract
from shared.contracts import EmbeddingSpec, ScoreSpec
from shared.errors import BadInput
from shared.names import Digest, Name

M = TypeVar("M", bound=Contract)


class PartMessage(Contract):
    """Make part `part` of `embedding`. study: the study on whose account it was sent.

    layers: others that are wanted of the same objects by the same model, and that the same pass gives. They are named,
    not specified, so that a message stays small however many they are.
    """

    study: Digest | None = None
    embedding: EmbeddingSpec
    part: int = Field(ge=0, strict=True)
    layers: tuple[Name, ...] = Field(default=(), max_length=100)

    @model_validator(mode="after")
    def _is_one_of_its_parts(self) -> Self:
        if self.part >= self.embedding.parts():
            raise ValueError(f"part {self.part} of an embedding of {self.embedding.parts()} parts")
        return self

    @model_validator(mode="after")
    def _layers_are_others(self) -> Self:
        if len({self.embedding.layer, *self.layers}) <= len(self.layers):
            raise ValueError("`layers` are others than the embedding's own, each once")
        return self

    @property
    def embeddings(self) -> tuple[EmbeddingSpec, ...]:
        """All that is to be made: `embedding`, then those that differ from it in the layer alone."""
        others = (self.embedding.model_copy(update={"layer": layer}) for layer in self.layers)
        return (self.embedding, *others)


class ScoreMessage(Contract):
    """Make `score`. study: as above."""

    study: Digest | None = None
    score: ScoreSpec


class SearchMessage(Contract):
    """Do one step of a large search. study: as above. score: digest of a score that needs its table."""

    study: Digest | None = None
    score: Digest
    search: Search
    step: Name

    @model_validator(mode="after")
    def _is_one_of_its_steps(self) -> Self:
        step = Step.parse(self.step)
        if step is None or not self.search.grid.holds(step):
            raise ValueError(f"{self.step} of a search in {self.search.grid.blocks} blocks")
        return self


class Announcement(Contract):
    """`embedding` is said to be whole."""

    embedding: EmbeddingSpec


def parse_message(model: type[M], message: object) -> M:
    """The message as its contract. Raises BadInput, naming the first field that is wrong."""
    try:
        return validate(model, message)
    except InvalidFields as error:
        raise error.as_error(BadInput, "a message that cannot be one of ours: ") from error
