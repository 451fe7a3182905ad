"""The error tree: what went wrong, what was expected, what to do.

SameSkyError
+-- Retryable            may pass if tried again; retried a bounded number of times
|   +-- StoreUnavailable     the object store did not answer
|   +-- BrokerUnavailable    Redis did not answer
|   +-- HubUnavailable       the model or dataset hub did not answer
|   +-- ApiUnavailable       the api did not answer
|   +-- NotReady             an embedding that a pair needs is not whole yet
|   +-- OutOfMemory          the device had no room for a batch of one
|   +-- LeaseLost            another worker holds the work now
|   +-- TooManyWrites        one token, or one address, wrote too often within a minute
+-- Permanent            will fail the same way again; never retried
    +-- BadInput             refused at the door
    |   +-- Unauthorised         a token is missing or wrong
    |   +-- UnknownName          no such model, dataset, modality, recipe, metric (near names are suggested)
    |   +-- BadName              a name or object id that cannot become a key
    |   +-- BadStudy             a study that contradicts itself; the field is named
    |   +-- BadTable             a file that cannot be read as a table: truncated, not Parquet
    |   +-- BadSetting           a setting that cannot be used
    |   +-- BadExtension         an installed package that adds models or datasets, and cannot
    |   +-- MissingColumn        a column the dataset should have
    |   +-- MissingBand          a band the recipe needs
    |   +-- EmptyDataset         no rows, or no object that survived preparation
    |   +-- DuplicateObjectIds   an object id that stands twice
    |   +-- NotFinite            NaN or infinity where a number was promised
    |   +-- ZeroVector           a vector without a direction
    |   +-- DegenerateEmbedding  an embedding in which nothing differs from anything else
    |   +-- TooFewObjects        k >= n, or too few objects for a metric
    |   +-- TooFewSizes          no family with two sizes, so no trend
    |   +-- AlreadyOver          asked to stop what has ended
    +-- ObjectMissing        no object at this key
    +-- Corrupt              what was stored is not what was written
    |   +-- MissingPart          a manifest names a part that is not there
    |   +-- AlteredPart          a part whose SHA-256 is not the manifest's
    |   +-- BadRecord            a stored JSON record that does not follow its contract
    |   +-- BadArchive           a file that is not an archive as it was exported
    +-- CheckpointUnavailable  a gated, missing or unreadable checkpoint
    +-- Stopped              the work killed its worker, or ran past its limit, too often
    +-- Unexpected           an error that nobody named: a fault of ours
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class SameSkyError(Exception):
    """An error for people. `wrong` says what was wrong, `expected` what should have been, `remedy` what to do."""

    def __init__(self, wrong: str, expected: str = "", remedy: str = "") -> None:
        self.wrong, self.expected, self.remedy = wrong, expected, remedy
        super().__init__(wrong, expected, remedy)

    @property
    def code(self) -> str:
        """The name of the error in records and HTTP bodies: `UnknownName` is `unknown-name`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(self).__name__).lower()

    def __str__(self) -> str:
        expected = f"expected {self.expected}" if self.expected else ""
        return "; ".join(part for part in (self.wrong, expected, self.remedy) if part)


class Retryable(SameSkyError):
    """May pass if tried again."""


class StoreUnavailable(Retryable):
    """The object store did not answer."""


class BrokerUnavailable(Retryable):
    """Redis did not answer."""


class HubUnavailable(Retryable):
    """The model or dataset hub did not answer."""


class ApiUnavailable(Retryable):
    """The api did not answer."""


class NotReady(Retryable):
    """An embedding that a pair needs is not whole yet."""


class OutOfMemory(Retryable):
    """The device had no room for a batch of one."""


class LeaseLost(Retryable):
    """Another worker holds the work now."""


class TooManyWrites(Retryable):
    """One token, or one address, wrote too often within a minute."""


class Permanent(SameSkyError):
    """Will fail the same way again."""


class BadInput(Permanent):
    """Refused at the door."""


class Unauthorised(BadInput):
    """A token is missing or wrong."""


class UnknownName(BadInput):
    """No such model, dataset, modality, recipe or metric."""

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str]) -> UnknownName:
        """The error for `name`, with near names suggested, or all of them when few and none is near."""
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        if near:
            remedy = f"did you mean {' or '.join(near)}?"
        else:
            remedy = f"known: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
        return cls(f"there is no {kind} {name!r}", f"a known {kind}", remedy)


class BadName(BadInput):
    """A name or object id that cannot become a key."""


class BadStudy(BadInput):
    """A study that contradicts itself."""


class BadTable(BadInput):
    """A file that cannot be read as a table."""


class BadSetting(BadInput):
    """A setting that cannot be used."""


class BadExtension(BadInput):
    """An installed package that adds models or datasets, and cannot."""


class MissingColumn(BadInput):
    """A column the dataset should have."""


class MissingBand(BadInput):
    """A band the recipe needs."""


class EmptyDataset(BadInput):
    """No rows, or no object that survived preparation."""


class DuplicateObjectIds(BadInput):
    """An object id that stands twice."""


class NotFinite(BadInput):
    """NaN or infinity where a number was promised."""


class ZeroVector(BadInput):
    """A vector without a direction."""


class DegenerateEmbedding(BadInput):
    """An embedding in which nothing differs from anything else."""


class TooFewObjects(BadInput):
    """k >= n, or too few objects for a metric."""


class TooFewSizes(BadInput):
    """No family with two sizes, so no trend."""


class AlreadyOver(BadInput):
    """Asked to stop what has ended."""


class ObjectMissing(Permanent):
    """No object at this key."""


class Corrupt(Permanent):
    """What was stored is not what was written."""


class MissingPart(Corrupt):
    """A manifest names a part that is not there."""


class AlteredPart(Corrupt):
    """A part whose SHA-256 is not the manifest's."""


class BadRecord(Corrupt):
    """A stored JSON record that does not follow its contract."""


class BadArchive(Corrupt):
    """A file that is not an archive as it was exported."""


class CheckpointUnavailable(Permanent):
    """A gated, missing or unreadable checkpoint."""


class Stopped(Permanent):
    """The work killed its worker, or ran past its limit, too often."""


class Unexpected(Permanent):
    """An error that nobody named: a fault of ours."""


def one_line(reason: object) -> str:
    """What another library says, on one line and without control characters: it may quote the bytes of a file."""
    text = " ".join(str(reason).split())
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def error_kinds() -> dict[str, type[SameSkyError]]:
    """Every class of the tree, by its code: how an error crosses the wire and is the same error again."""
    kinds: dict[str, type[SameSkyError]] = {}
    waiting: list[type[SameSkyError]] = [SameSkyError]
    while waiting:
        kind = waiting.pop()
        kinds[kind("").code] = kind
        waiting += kind.__subclasses__()
    return kinds
